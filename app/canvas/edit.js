// Correcting poses: what is chosen, what a hand or a key does to it, and what the project answers.

const E = {
  on: false, hover: -1, body: false, draft: null, anchor: null, names: true, ghosts: true,
  alternatives: null, lit: -1, suggestion: null, target: 5, queue: null, due: false, newest: null, passed: new Set(), timers: {},
};
const desk = createDesk((request) => server.review({ session: S.session, ...request }), { onChange: onDesk, onTrouble });
const reviewable = () => Boolean(S.clip && desk.state.project && !S.busy);
const marksAt = (frame, track = S.person) => desk.state.marks.get(track)?.get(frame) ?? null;
const isConfirmed = (frame, track = S.person) => Boolean(marksAt(frame, track)?.confirmed);
const isCorrected = (frame, track = S.person) => Boolean(marksAt(frame, track)?.marks.some((mark) => mark & (MARK.corrected | MARK.outside)));

// The pose a hand would take hold of: under the hand, suggested, or as it stands.
function editedPose() {
  if (E.draft && E.draft.frame === S.frame) return E.draft.pose;
  return suggestedPose() ?? storedPose();
}
const suggestedPose = () => (E.suggestion?.track === S.person ? E.suggestion.poses.get(S.frame) ?? null : null);

function say(text, kind = 'info') { $('.dp-words').textContent = text; $('.dp-status').dataset.kind = kind; }
function later(name, wait, act) { clearTimeout(E.timers[name]); E.timers[name] = setTimeout(act, wait); }

function setEdit(on) {
  if (on && !reviewable()) { say(S.busy ? 'Poses can be corrected once this work is done.' : 'Find poses first; then they can be corrected.'); return; }
  if (on === E.on) return;
  E.on = on;
  if (on) { stop(); setBoxMode(false); E.passed.clear(); refreshQueue(); lookAround(); } else { dropSuggestion(); E.alternatives = null; E.anchor = null; E.body = false; }
  document.body.classList.toggle('dp-editing', on); root.classList.toggle('dp-edit-on', on);
  $('[data-act=edit]').setAttribute('aria-pressed', String(on));
  $('.dp-tools').hidden = !on;
  if (on) say('Drag a keypoint to correct it. N goes where a correction helps most, ? lists the keys.');
  live.forget(); wish(); tellMarks(); showTools(); paintSoon();
}

// ---- the project's answers

function openProject(project) {
  desk.open(project?.id ?? null);
  Object.assign(E, { suggestion: null, alternatives: null, queue: null, due: false, newest: null, anchor: null, draft: null });
  E.passed.clear();
  if (!project) setEdit(false);
}

function onDesk(reply) {
  if (reply?.model) showModel(reply.model);
  if (reply?.changes) {
    for (const { track, whole, frames, gone, poses, marks, confirmed } of reply.changes) {
      if (!S.poses.has(track)) S.poses.set(track, { byFrame: new Map() });
      if (whole) { S.poses.get(track).byFrame = new Map(); desk.state.marks.set(track, new Map()); }
      const { byFrame } = S.poses.get(track), seen = desk.state.marks.get(track) ?? new Map();
      desk.state.marks.set(track, seen);
      for (const frame of gone) { byFrame.delete(frame); seen.delete(frame); }
      frames.forEach((frame, i) => {
        if (poses[i]) byFrame.set(frame, poses[i]); else byFrame.delete(frame);
        seen.set(frame, { marks: marks[i], confirmed: confirmed[i] });
      });
    }
    if (reply.changes.length) { later('tell', E.on ? 150 : 0, tellPoses); wish(); later('queue', 300, refreshQueue); if (E.on) lookAround(); }
  }
  if (reply?.words) say(reply.words, reply.ok ? 'done' : 'error');
  tellProject();
  tellMarks(); showTools(); paintSoon();
  if (reply) setTimeout(catchUp); // once the desk is idle again
}

function onTrouble(trouble) {
  if (trouble) say('Not saved yet: the server does not answer. Your correction is kept here and sent again.', 'error');
  else say('Saved.', 'done');
}

function act(action, guess) {
  if (!reviewable() || S.person === null) return Promise.resolve(null);
  dropSuggestion(); E.alternatives = null;
  return desk.post('act', { action: { track_id: S.person, ...action } }, guess).then((reply) => {
    if (reply?.ok && ['move', 'hide', 'out_of_frame', 'move_body', 'set_pose', 'copy_previous', 'swap'].includes(action.kind)) suggest(action.frame ?? (action.frames ? S.frame : action.first));
    return reply;
  });
}

// Show an edit before the server has answered; its answer replaces this.
function guessRows(frames, change) {
  const track = S.person;
  return () => {
    const byFrame = S.poses.get(track)?.byFrame, seen = desk.state.marks.get(track);
    if (!byFrame || !seen) return;
    for (const frame of frames) {
      const pose = (byFrame.get(frame) ?? S.skeleton.keypoints.map(() => null)).slice();
      const held = seen.get(frame), marks = (held?.marks ?? pose.map(() => 0)).slice();
      change(pose, marks);
      byFrame.set(frame, pose); seen.set(frame, { marks, confirmed: held?.confirmed ?? false });
    }
  };
}
const guessRow = (frame, change) => guessRows([frame], change);

// ---- actions

const placedRow = ([x, y]) => [x, y, null, 0, 0, 0];

function placeJoint(frame, k, xy) {
  return act({ kind: 'move', frame, keypoint: k, xy }, guessRow(frame, (pose, marks) => { pose[k] = placedRow(xy); marks[k] = (marks[k] | MARK.corrected) & ~(MARK.outside | MARK.suggested); }));
}

function placeBody(frame, shift) {
  return act({ kind: 'move_body', frame, shift_xy: shift }, guessRow(frame, (pose, marks) => pose.forEach((row, k) => {
    if (row) { pose[k] = placedRow([row[0] + shift[0], row[1] + shift[1]]); marks[k] |= MARK.corrected; }
  })));
}

const VISIBILITY = { show: 0, hide: MARK.occluded, out_of_frame: MARK.outside };

function setVisibility(kind) {
  const k = S.joint, frames = chosenPoses();
  if (!frames.length) { say('There is no pose here; place a keypoint first.'); return null; }
  commitNudge(); letGo();
  return act({ kind, frames, keypoint: k }, guessRows(frames, (pose, marks) => {
    marks[k] = (marks[k] & ~(MARK.occluded | MARK.outside)) | VISIBILITY[kind];
    if (kind === 'out_of_frame') pose[k] = null;
  }));
}

// The chosen frames: from where the choice began to here, or this frame alone.
const chosenFrames = () => (E.anchor === null ? [S.frame, S.frame] : [Math.min(E.anchor, S.frame), Math.max(E.anchor, S.frame)]);

// Those of them that have a pose.
function chosenPoses() {
  const [first, last] = chosenFrames(), frames = [];
  for (let frame = first; frame <= last; frame++) if (S.poses.get(S.person)?.byFrame.has(frame)) frames.push(frame);
  return frames;
}

function letGo() { if (E.anchor !== null) { E.anchor = null; tellMarks(); } }

function toggleConfirm() {
  const frames = chosenPoses();
  if (!frames.length) return;
  const kind = frames.every((frame) => isConfirmed(frame)) ? 'unconfirm' : 'confirm';
  letGo();
  act({ kind, frames }, () => { for (const frame of frames) { const held = marksAt(frame); if (held) held.confirmed = kind === 'confirm'; } });
}

function swapSides() { const [first, last] = chosenFrames(); letGo(); act({ kind: 'swap', first, last }); }

function copyPrevious() {
  if (S.frame < 1) { say('The first frame has no pose before it.'); return; }
  act({ kind: 'copy_previous', frame: S.frame, from_frame: S.frame - 1 });
}

function step(what) {
  if (!reviewable()) return;
  commitNudge(); dropSuggestion(); E.alternatives = null;
  desk.post(what, { frame: S.frame }).then((reply) => { if (reply?.ok && reply.frame !== undefined) goTo(reply.frame); });
}

function nudge(dx, dy) {
  const pose = editedPose(), frame = S.frame;
  if (!pose || (!E.body && !pose[S.joint])) return;
  if (!E.draft?.keys || E.draft.frame !== frame) E.draft = { keys: true, body: E.body, joint: S.joint, frame, pose: pose.slice(), from: pose, shift: [0, 0] };
  const d = E.draft;
  d.shift = [d.shift[0] + dx, d.shift[1] + dy];
  d.pose = d.from.map((row, k) => (row && (d.body || k === d.joint) ? placedRow(clampToPicture([row[0] + d.shift[0], row[1] + d.shift[1]])) : row));
  later('nudge', 450, commitNudge);
  paintSoon();
}

function commitNudge() {
  clearTimeout(E.timers.nudge);
  const d = E.draft;
  if (!d?.keys) return;
  E.draft = null;
  if (d.body) placeBody(d.frame, d.shift); else placeJoint(d.frame, d.joint, d.pose[d.joint].slice(0, 2));
}

function stepJoint(by) {
  commitNudge(); E.body = false;
  chooseJoint((S.joint + by + S.skeleton.keypoints.length) % S.skeleton.keypoints.length, { tell: true });
  showTools(); paintSoon();
}

// ---- what the model makes of it

function suggest(frame) {
  later('suggest', 40, async () => {
    const track = S.person, revision = desk.state.revision;
    const wanted = () => E.on && !E.draft && revision === desk.state.revision && track === S.person;
    const reply = await desk.ask('suggest', { track, frame }, wanted);
    if (reply && !reply.ok) say(reply.words, 'error');
    if (!reply?.suggestion) return;
    const { frames, poses, moved } = reply.suggestion;
    E.suggestion = { track, frame, frames, moved, poses: new Map(frames.map((f, i) => [f, poses[i]])), waited: reply.ms };
    tellMarks(); showTools(); paintSoon();
  });
}

function dropSuggestion() {
  clearTimeout(E.timers.suggest);
  if (!E.suggestion) return;
  E.suggestion = null; tellMarks(); showTools(); paintSoon();
}

function acceptSuggestion() {
  if (!E.suggestion) return;
  E.suggestion = null;
  desk.post('accept').then(() => { tellMarks(); showTools(); });
}

// The other poses the model thinks possible here, once the frame has stood still for a moment.
function lookAround() {
  if (E.alternatives?.frame !== S.frame || E.alternatives?.track !== S.person) E.alternatives = null;
  if (!E.on || !E.ghosts || S.playing || S.person === null) { showTools(); return; }
  later('alternatives', 300, async () => {
    const frame = S.frame, track = S.person, revision = desk.state.revision;
    if (E.draft || E.alternatives) return;
    const wanted = () => E.on && frame === S.frame && track === S.person && revision === desk.state.revision;
    const reply = await desk.ask('alternatives', { track, frame }, wanted);
    if (reply && !reply.ok) say(reply.words, 'error');
    if (!reply?.ok) return;
    E.alternatives = { frame, track, list: reply.alternatives };
    showTools(); paintSoon();
  });
}

const alternativesHere = () => (E.on && E.ghosts && !E.suggestion && E.alternatives?.frame === S.frame && E.alternatives.track === S.person ? E.alternatives.list : []);

function takeAlternative(number) {
  const list = alternativesHere();
  if (!list[number]) return;
  const { frame, track } = E.alternatives;
  E.alternatives = null; E.lit = -1;
  desk.post('take', { track, frame, number }).then((reply) => { if (reply?.ok) suggest(frame); });
  showTools(); paintSoon();
}

// ---- where to look next

// The queue as it is now; while a job runs the question waits, and what was overtaken waits for the newest.
function refreshQueue() {
  E.due = Boolean(desk.state.project && S.busy);
  if (!desk.state.project || S.busy) return Promise.resolve(null);
  const mine = E.newest = desk.ask('queue', { target: E.target }).then((reply) => {
    if (!reply) return E.newest === mine ? null : E.newest;
    if (reply.ok) { E.queue = reply; tellQueue(); } else say(reply.words, 'error');
    return E.queue;
  });
  return mine;
}

function tellQueue() { if (E.queue) announce('queue', { ...E.queue, skeleton: S.skeleton }); }

async function goToNext() {
  if (!reviewable()) { say('Find poses first; then N goes where a correction helps most.'); return; }
  if (!E.on) setEdit(true);
  E.passed.add(`${S.person}/${S.frame}`);
  const queue = await refreshQueue();
  if (!queue) return;
  const fresh = queue.items.filter((item) => !E.passed.has(`${item.track}/${item.frame}`)), item = fresh[0] ?? queue.items[0];
  if (!fresh.length) E.passed.clear();
  if (!item) { say(`Nothing is left to correct for ${E.target} px.`, 'done'); return; }
  goToItem(item);
}

function goToItem(item) {
  commitNudge(); stop();
  if (item.track !== S.person) pick(item.track);
  chooseJoint(item.keypoint, { tell: true });
  goTo(item.frame);
  say(`Frame ${item.frame + 1}: ${item.reason}.`);
  if (!S.view.fitted) centreOn(S.poses.get(item.track)?.byFrame.get(item.frame));
}

// ---- the toolbar

function showTools() {
  $('[data-act=edit]').disabled = !reviewable();
  if (!E.on) { $('.dp-ask').hidden = true; $('.dp-others').hidden = true; return; }
  const marks = marksAt(S.frame), mark = marks?.marks[S.joint] ?? 0, known = Boolean(editedPose()?.[S.joint]);
  $('[data-act=undo]').disabled = !desk.state.undo; $('[data-act=redo]').disabled = !desk.state.redo;
  $('.dp-joint').textContent = words(S.skeleton.keypoints[S.joint]);
  const state = mark & MARK.outside ? 'out_of_frame' : mark & MARK.occluded ? 'hide' : known ? 'show' : '';
  for (const button of element.querySelectorAll('[data-visibility]')) button.setAttribute('aria-pressed', String(button.dataset.visibility === state));
  const [first, last] = chosenFrames(), several = last > first;
  const range = $('[data-act=range]');
  range.setAttribute('aria-pressed', String(E.anchor !== null));
  range.querySelector('span').textContent = E.anchor === null ? 'Select frames' : `${last - first + 1} ${several ? 'frames' : 'frame'}`;
  const confirm = $('[data-act=confirm]'), confirmed = isConfirmed(S.frame);
  confirm.setAttribute('aria-pressed', String(confirmed && !several));
  confirm.querySelector('span').textContent = several ? `Confirm ${last - first + 1}` : confirmed ? 'Confirmed' : 'Confirm';
  $('[data-act=swap]').querySelector('span').textContent = several ? `Swap sides in ${last - first + 1}` : 'Swap sides';
  $('.dp-many').textContent = several ? `in ${last - first + 1}` : ''; $('.dp-many').hidden = !several;
  $('[data-act=body]').setAttribute('aria-pressed', String(E.body));
  showAsk(); showOthers();
}

function showAsk() {
  const box = $('.dp-ask'), { suggestion } = E;
  box.hidden = !suggestion;
  if (!suggestion) return;
  const span = spanOf(suggestedPose()), low = span && at(0, span[3])[1] > stage.clientHeight - 70;
  box.classList.toggle('dp-top', Boolean(low));
  const count = suggestion.frames.length, here = suggestion.poses.has(S.frame);
  $('.dp-ask-words').textContent = `${count === 1 ? 'This frame' : `${count} frames`} would follow${here ? '' : ' (not this one)'}`;
}

function showOthers() {
  const box = $('.dp-others'), list = alternativesHere();
  box.hidden = !list.length;
  box.replaceChildren(...list.map((alternative, number) => {
    const button = Object.assign(document.createElement('button'), { type: 'button' });
    button.textContent = `${number + 1}\u2002${alternative.words}\u2002${Math.round(100 * alternative.share)} %`;
    button.title = `Take this pose (${number + 1})`;
    button.addEventListener('click', (event) => { event.stopPropagation(); takeAlternative(number); });
    button.addEventListener('pointerenter', () => { E.lit = number; paintSoon(); });
    button.addEventListener('pointerleave', () => { E.lit = -1; paintSoon(); });
    return button;
  }));
}

function tellMarks() {
  announce('marks', {
    frames: S.clip?.frames ?? 0, editing: E.on, chosen: E.on && E.anchor !== null ? chosenFrames() : null,
    suggested: E.suggestion?.frames ?? [], marks: desk.state.marks.get(S.person) ?? new Map(), corrected: MARK.corrected | MARK.outside,
  });
}

const watching = setInterval(() => {
  if (!element.isConnected) clearInterval(watching);
  else if (desk.state.project && desk.idle && !S.busy && document.visibilityState === 'visible') desk.post('look');
}, 2000);
window.addEventListener('beforeunload', (event) => { if (!desk.idle && desk.state.trouble) event.preventDefault(); });
