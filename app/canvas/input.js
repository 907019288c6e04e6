// Hands: pointer, wheel, keys and buttons; and the door through which the page's own controls come in.

const pointers = new Map();
let gesture = null;

const REACH = 12; // screen pixels within which a keypoint or a handle is meant

function local(event) {
  const area = stage.getBoundingClientRect();
  return [event.clientX - area.left, event.clientY - area.top];
}

function keypointAt(x, y) {
  const pose = currentPose();
  if (!pose || !S.layers.has('Skeleton')) return -1;
  let best = -1, least = REACH;
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

function startGesture(event, x, y) {
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    draft = null;
    return { kind: 'pinch', apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  }
  if (S.boxMode) {
    const handle = handleAt(x, y);
    if (handle) return { kind: 'resize', ...handle, frame: S.frame };
    return { kind: 'draw', from: clampToPicture(toVideo(x, y)), frame: S.frame };
  }
  return { kind: 'pan', x, y, view: { ...S.view }, moved: false };
}

function moveGesture(x, y) {
  if (gesture.kind === 'pinch' && pointers.size === 2) {
    const [a, b] = [...pointers.values()], apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    zoom(apart / gesture.apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    gesture.apart = apart;
  } else if (gesture.kind === 'pan') {
    if (Math.hypot(x - gesture.x, y - gesture.y) > 4) gesture.moved = true;
    if (gesture.moved && !S.view.fitted) {
      S.view.x = gesture.view.x + x - gesture.x; S.view.y = gesture.view.y + y - gesture.y;
    }
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
  if (done.kind === 'pan' && !done.moved) {
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
overlayCanvas.addEventListener('pointercancel', (event) => { pointers.delete(event.pointerId); gesture = draft = null; paintSoon(); });
overlayCanvas.addEventListener('pointerleave', () => { $('.dp-tip').hidden = true; });
overlayCanvas.addEventListener('wheel', (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * 0.004), ...local(event));
}, { passive: false });

function showTip(x, y) {
  const tip = $('.dp-tip'), joint = S.clip && S.shown >= 0 ? keypointAt(x, y) : -1;
  tip.hidden = joint < 0;
  overlayCanvas.style.cursor = S.boxMode ? 'crosshair' : joint >= 0 || (S.clip && personAt(x, y) !== null) ? 'pointer' : S.view.fitted ? 'default' : 'grab';
  if (joint < 0) return;
  const row = currentPose()[joint], radius = radiusOf(row);
  tip.textContent = `${words(S.skeleton.keypoints[joint])} \u00b7 confidence ${(row[2] ?? 1).toFixed(2)}${radius === null ? '' : ` \u00b7 90 % within ${radius.toFixed(1)} px`}`;
  tip.style.left = `${Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 6)}px`;
  tip.style.top = `${Math.max(6, y - 34)}px`;
}

function setBoxMode(on) {
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
};
element.addEventListener('click', (event) => {
  const act = event.target.closest('[data-act]')?.dataset.act;
  if (act) actions[act]();
});
slider.addEventListener('input', () => { stop(); goTo(Number(slider.value)); });
$('.dp-speed').addEventListener('change', () => { if (S.playing) play(); });

const KEYS = {
  ArrowLeft: (e) => { stop(); goTo(wanted - (e.shiftKey ? 10 : 1)); }, ArrowRight: (e) => { stop(); goTo(wanted + (e.shiftKey ? 10 : 1)); },
  Home: () => goTo(0), End: () => goTo(Infinity), ' ': actions.play, '+': actions.in, '=': actions.in, '-': actions.out, 0: fit,
  b: actions.box, n: nextPerson, '?': actions.help,
  Escape: () => { setBoxMode(false); helpBox.hidden = true; draft = gesture = null; },
};
// What the focused control itself does with a key; our own slider and the bare page do nothing.
function takes(target, key) {
  if (target === slider || !target.closest) return false;
  const control = target.closest('input, textarea, select, button, [contenteditable], [role=listbox], [role=tab]');
  if (!control) return false;
  const arrows = key.startsWith('Arrow') || key === 'Home' || key === 'End';
  if (control.tagName === 'BUTTON' || control.type === 'checkbox') return key === ' ';
  if (control.type === 'radio') return key === ' ' || arrows;
  if (control.type === 'range') return arrows;
  return key !== 'Escape';
}

function onKey(event) {
  if (!element.isConnected) { document.removeEventListener('keydown', onKey); return; }
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || !S.clip || event.ctrlKey || event.metaKey || event.altKey) return;
  if (takes(event.target, event.key)) return;
  event.preventDefault();
  act(event);
}
document.addEventListener('keydown', onKey);

// Gradio's own controls call these from their `js` listeners; the timeline speaks by window events.
window.diffpose = {
  state: S,
  live,
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
window.addEventListener('diffpose:hello', () => { tellPoses(); announce('frame', { frame: S.frame, time: S.times[S.frame] ?? 0 }); });

const start = props.value?.start;
if (start) Object.assign(S, { steps: start.steps, hypotheses: start.hypotheses, joint: start.joint, layers: new Set(start.layers) });
new ResizeObserver(() => { if (S.view.fitted) fit(); else paintSoon(); }).observe(stage);
watch('value', () => { onView().catch((error) => S.errors.push(String(error))); });
onView();
