// Hands: pointer, wheel, keys and buttons; and the door through which the page's own controls come in.

const pointers = new Map();
let gesture = null;

const REACH = 12, REACH_TOUCH = 26; // screen pixels within which a keypoint or a handle is meant
let reach = REACH;

function local(event) {
  const area = stage.getBoundingClientRect();
  return [event.clientX - area.left, event.clientY - area.top];
}

function keypointAt(x, y) {
  const pose = currentPose();
  if (!pose || !(S.layers.has('Skeleton') || E.on)) return -1;
  let best = -1, least = reach;
  pose.forEach((row, index) => {
    if (!row) return;
    const [px, py] = at(row[0], row[1]), distance = Math.hypot(px - x, py - y);
    if (distance < least) { least = distance; best = index; }
  });
  return best;
}

function handleAt(x, y) {
  const box = boxOf(S.person, S.frame);
  if (!box) return null;
  const near = handlesOf(box).find(([hx, hy]) => { const [px, py] = at(hx, hy); return Math.hypot(px - x, py - y) < REACH; });
  return near && { box: { x1: box[0], y1: box[1], x2: box[2], y2: box[3] }, moves: near.slice(2) };
}

function personAt(x, y) {
  const [vx, vy] = toVideo(x, y), area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  const inside = S.tracks.filter((track) => {
    const box = track.at.get(S.frame);
    return box && vx >= box[0] && vx <= box[2] && vy >= box[1] && vy <= box[3];
  });
  inside.sort((a, b) => area(a.at.get(S.frame)) - area(b.at.get(S.frame)));
  return inside[0]?.id ?? null;
}

function clampToPicture([x, y]) {
  return [Math.max(-0.5, Math.min(S.clip.width - 0.5, x)), Math.max(-0.5, Math.min(S.clip.height - 0.5, y))];
}

const sorted = (x1, y1, x2, y2) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];

function bodyHandleAt(x, y) {
  const pose = E.on && editedPose(), handle = pose && bodyHandleOf(at, pose, stage.clientHeight);
  return Boolean(handle) && Math.hypot(handle[0] - x, handle[1] - y) < reach + 4;
}

function alternativeAt(x, y) {
  const pose = editedPose();
  return alternativesHere().findIndex((alternative) => {
    const spot = alternativeSpot(pose, alternative);
    return spot && Math.hypot(at(...spot)[0] - x, at(...spot)[1] - y) < 13;
  });
}

// Taking hold of something of the pose: a keypoint, or the handle that moves the whole body.
function startEdit(x, y) {
  commitNudge();
  const body = bodyHandleAt(x, y), joint = body ? -1 : keypointAt(x, y), pose = editedPose();
  if (!body && joint < 0) return null;
  if (joint >= 0) chooseJoint(joint, { tell: true });
  E.body = body; showTools();
  const from = body ? toVideo(x, y) : pose[joint];
  const [vx, vy] = toVideo(x, y);
  return { kind: 'edit', body, joint, frame: S.frame, pose, grab: [from[0] - vx, from[1] - vy], from, x, y, moved: false };
}

function moveEdit(x, y) {
  const g = gesture, [vx, vy] = toVideo(x, y), to = [vx + g.grab[0], vy + g.grab[1]];
  if (!g.moved && Math.hypot(x - g.x, y - g.y) < 3) return;
  g.moved = true;
  g.shift = [to[0] - g.from[0], to[1] - g.from[1]];
  g.to = clampToPicture(to);
  const pose = g.pose.map((row, k) => (!row ? row : g.body ? placedRow([row[0] + g.shift[0], row[1] + g.shift[1]]) : k === g.joint ? placedRow(g.to) : row));
  E.draft = { frame: g.frame, pose, body: g.body };
}

function endEdit(done) {
  E.draft = null;
  if (!done.moved) return;
  if (done.body) placeBody(done.frame, done.shift); else placeJoint(done.frame, done.joint, done.to);
}

function startGesture(event, x, y) {
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    draft = E.draft = null;
    return { kind: 'pinch', apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  }
  if (S.boxMode) {
    const handle = handleAt(x, y);
    if (handle) return { kind: 'resize', ...handle, frame: S.frame };
    return { kind: 'draw', from: clampToPicture(toVideo(x, y)), frame: S.frame };
  }
  const edit = E.on ? startEdit(x, y) : null;
  return edit ?? { kind: 'pan', x, y, view: { ...S.view }, moved: false };
}

function moveGesture(x, y) {
  if (gesture.kind === 'pinch' && pointers.size === 2) {
    const [a, b] = [...pointers.values()], apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    zoom(apart / gesture.apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    gesture.apart = apart;
  } else if (gesture.kind === 'pan') {
    if (Math.hypot(x - gesture.x, y - gesture.y) > 4) gesture.moved = true;
    if (gesture.moved && !S.view.fitted) {
      S.view.x = gesture.view.x + x - gesture.x; S.view.y = gesture.view.y + y - gesture.y; stalePicture = true;
    }
  } else if (gesture.kind === 'edit') {
    moveEdit(x, y);
  } else if (gesture.kind === 'draw') {
    draft = { track: null, box: sorted(...gesture.from, ...clampToPicture(toVideo(x, y))) };
  } else if (gesture.kind === 'resize') {
    const [vx, vy] = clampToPicture(toVideo(x, y)), box = { ...gesture.box };
    if (gesture.moves[0]) box[gesture.moves[0]] = vx;
    if (gesture.moves[1]) box[gesture.moves[1]] = vy;
    draft = { track: S.person, box: sorted(box.x1, box.y1, box.x2, box.y2) };
  }
  paintSoon();
}

function endGesture(x, y) {
  const done = gesture;
  gesture = null;
  if (done.kind === 'edit') { endEdit(done); paintSoon(); return; }
  if (done.kind === 'pan' && !done.moved) {
    const other = E.on ? alternativeAt(x, y) : -1;
    if (other >= 0) { takeAlternative(other); return; }
    const joint = keypointAt(x, y), person = personAt(x, y);
    if (joint >= 0) chooseJoint(joint, { tell: true });
    else if (person !== null && person !== S.person) pick(person);
  } else if (draft && (done.kind === 'draw' || done.kind === 'resize')) {
    const box = draft.box, large = (box[2] - box[0]) * S.view.scale > 8 && (box[3] - box[1]) * S.view.scale > 8;
    if (large) trigger('box_drawn', { frame: done.frame, track: draft.track, box });
    if (large && done.kind === 'draw') setBoxMode(false);
  }
  draft = null; paintSoon();
}

function pick(person) {
  S.person = person;
  tellPoses(); wish(); paintSoon();
  trigger('person_picked', { track: person });
}

overlayCanvas.addEventListener('pointerdown', (event) => {
  if (!S.clip || S.shown < 0 || event.button > 0) return;
  reach = event.pointerType === 'touch' ? REACH_TOUCH : REACH;
  root.focus({ preventScroll: true });
  overlayCanvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, local(event));
  gesture = startGesture(event, ...local(event));
  if (S.playing) stop();
});
overlayCanvas.addEventListener('pointermove', (event) => {
  const [x, y] = local(event);
  if (pointers.has(event.pointerId)) pointers.set(event.pointerId, [x, y]);
  if (gesture) moveGesture(x, y); else showTip(x, y);
});
overlayCanvas.addEventListener('pointerup', (event) => {
  pointers.delete(event.pointerId);
  if (gesture) endGesture(...local(event));
});
overlayCanvas.addEventListener('pointercancel', (event) => { pointers.delete(event.pointerId); gesture = draft = E.draft = null; paintSoon(); });
overlayCanvas.addEventListener('pointerleave', () => { $('.dp-tip').hidden = true; if (E.hover >= 0) { E.hover = -1; paintSoon(); } });
overlayCanvas.addEventListener('wheel', (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.004), ...local(event));
}, { passive: false });

function showTip(x, y) {
  const tip = $('.dp-tip'), joint = S.clip && S.shown >= 0 ? keypointAt(x, y) : -1;
  tip.hidden = joint < 0 || E.on;
  if (E.on) {
    const other = alternativeAt(x, y), body = bodyHandleAt(x, y);
    if (joint !== E.hover || other !== E.lit) { E.hover = joint; E.lit = other; paintSoon(); }
    overlayCanvas.style.cursor = body ? 'move' : joint >= 0 ? 'grab' : other >= 0 ? 'pointer' : 'default';
    return;
  }
  overlayCanvas.style.cursor = S.boxMode ? 'crosshair' : joint >= 0 || (S.clip && personAt(x, y) !== null) ? 'pointer' : S.view.fitted ? 'default' : 'grab';
  if (joint < 0) return;
  const row = currentPose()[joint], radius = radiusOf(row);
  tip.textContent = `${words(S.skeleton.keypoints[joint])} \u00b7 ${row[2] === null ? 'placed by hand' : `confidence ${row[2].toFixed(2)}`}${!radius ? '' : ` \u00b7 90 % within ${radius.toFixed(1)} px`}`;
  tip.style.left = `${Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 6)}px`;
  tip.style.top = `${Math.max(6, y - 34)}px`;
}

function setBoxMode(on) {
  if (on && E.on) setEdit(false);
  S.boxMode = on && Boolean(S.clip);
  $('[data-act=box]').setAttribute('aria-pressed', String(S.boxMode));
  root.classList.toggle('dp-boxing', S.boxMode);
  const hint = $('.dp-hint');
  hint.hidden = !S.boxMode;
  hint.textContent = 'Drag around a person to add them, or drag a handle of the chosen box to correct it. Esc leaves.';
  overlayCanvas.style.cursor = S.boxMode ? 'crosshair' : 'default';
  paintSoon();
}

function nextPerson() {
  const ids = S.tracks.map(({ id }) => id);
  if (ids.length) pick(ids[(ids.indexOf(S.person) + 1) % ids.length]);
}

const helpBox = $('.dp-help');
const actions = {
  back: () => { stop(); goTo(wanted - 1); }, on: () => { stop(); goTo(wanted + 1); },
  play: () => (S.playing ? stop() : play()),
  in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit,
  box: () => setBoxMode(!S.boxMode), help: () => { helpBox.hidden = !helpBox.hidden; },
  edit: () => setEdit(!E.on), next: goToNext, undo: () => step('undo'), redo: () => step('redo'),
  body: () => { E.body = !E.body; showTools(); paintSoon(); }, swap: swapSides, copy: copyPrevious, confirm: toggleConfirm,
  range: () => { E.anchor = E.anchor === null ? S.frame : null; showTools(); tellMarks(); },
  accept: acceptSuggestion, reject: dropSuggestion,
};
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-act]')?.dataset.act, visibility = event.target.closest('[data-visibility]')?.dataset.visibility;
  if (act) actions[act]();
  if (visibility) setVisibility(visibility);
});
slider.addEventListener('input', () => { stop(); goTo(Number(slider.value)); });
$('.dp-speed').addEventListener('change', () => { if (S.playing) play(); });

const shiftOf = (event) => (event.shiftKey ? 10 : 1);
const KEYS = {
  ArrowLeft: (e) => { stop(); goTo(wanted - shiftOf(e)); }, ArrowRight: (e) => { stop(); goTo(wanted + shiftOf(e)); },
  Home: () => goTo(0), End: () => goTo(Infinity), ' ': actions.play, '+': actions.in, '=': actions.in, '-': actions.out, 0: fit,
  z: zoomToPerson, b: actions.box, p: nextPerson, n: goToNext, e: actions.edit, '?': actions.help,
  Escape: () => {
    if (E.suggestion) { dropSuggestion(); return; }
    setBoxMode(false); helpBox.hidden = true; draft = gesture = E.draft = null;
    if (E.anchor !== null) { E.anchor = null; showTools(); tellMarks(); }
    paintSoon();
  },
};
// Only while editing; the hand that does not hold the mouse reaches most of them.
const EDIT_KEYS = {
  w: (e) => nudge(0, -shiftOf(e)), a: (e) => nudge(-shiftOf(e), 0), s: (e) => nudge(0, shiftOf(e)), d: (e) => nudge(shiftOf(e), 0),
  '[': () => stepJoint(-1), ']': () => stepJoint(1), m: actions.body,
  v: () => setVisibility('show'), h: () => setVisibility('hide'), o: () => setVisibility('out_of_frame'),
  x: swapSides, r: copyPrevious, c: toggleConfirm, q: actions.range,
  g: () => { E.ghosts = !E.ghosts; lookAround(); paintSoon(); }, l: () => { E.names = !E.names; paintSoon(); },
  1: () => takeAlternative(0), 2: () => takeAlternative(1), 3: () => takeAlternative(2),
  Enter: () => acceptSuggestion(),
};
// What the focused control itself does with a key; our own slider and the bare page do nothing.
function takes(target, key) {
  if (target === slider || !target.closest) return false;
  const control = target.closest('input, textarea, select, button, [contenteditable], [role=listbox], [role=tab]');
  if (!control) return false;
  const arrows = key.startsWith('Arrow') || key === 'Home' || key === 'End';
  if (control.tagName === 'BUTTON' || control.type === 'checkbox') return key === ' ' || (key === 'Enter' && !(E.suggestion && root.contains(target)));
  if (control.type === 'radio') return key === ' ' || arrows;
  if (control.type === 'range') return arrows;
  return key !== 'Escape';
}

function onKey(event) {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!S.clip || event.altKey || takes(event.target, event.key)) return;
  const command = event.ctrlKey || event.metaKey;
  const act = command ? commandOf(key, event.shiftKey) : (E.on && EDIT_KEYS[key]) || KEYS[key];
  if (!act) return;
  event.preventDefault();
  act(event);
}

function commandOf(key, shift) {
  if (!E.on) return null;
  if (key === 'z') return shift ? actions.redo : actions.undo;
  return key === 'y' ? actions.redo : null;
}
document.addEventListener('keydown', onKey);

// Gradio's own controls call these from their `js` listeners; the timeline speaks by window events.
window.diffpose = {
  state: S,
  live,
  editing: E,
  desk,
  goTo,
  keepHeat,
  sampling(steps, hypotheses) {
    if (steps === S.steps && hypotheses === S.hypotheses) return;
    S.steps = steps; S.hypotheses = hypotheses; S.armed = true; wish(); paintSoon();
  },
  layers(names) { S.layers = new Set(names); wish(); paintSoon(); },
  joint(index) { chooseJoint(index); },
  focus() { root.focus({ preventScroll: true }); },
  screenOf: (x, y) => { const [sx, sy] = at(x, y), area = stage.getBoundingClientRect(); return [area.left + sx, area.top + sy]; },
  currentPose,
};
window.addEventListener('diffpose:seek', (event) => { stop(); goTo(event.detail.frame); });
window.addEventListener('diffpose:pick-joint', (event) => chooseJoint(event.detail.joint, { tell: true }));
window.addEventListener('diffpose:goto', (event) => { if (!E.on) setEdit(true); goToItem(event.detail); });
window.addEventListener('diffpose:next', goToNext);
window.addEventListener('diffpose:target', (event) => { E.target = event.detail.target; E.passed.clear(); refreshQueue(); });
window.addEventListener('diffpose:select', (event) => { if (E.on) { E.anchor = event.detail.first; goTo(event.detail.last); showTools(); tellMarks(); } });
window.addEventListener('diffpose:hello', () => { tellPoses(); tellMarks(); tellQueue(); tellProject(); announce('frame', { frame: S.frame, time: S.times[S.frame] ?? 0 }); });

const start = props.value?.start;
if (start) Object.assign(S, { steps: start.steps, hypotheses: start.hypotheses, joint: start.joint, layers: new Set(start.layers) });
new ResizeObserver(() => { if (S.view.fitted) fit(); else paintSoon(); }).observe(stage);
watch('value', () => { onView().catch((error) => S.errors.push(String(error))); });
onView();
