// The picture with everything over it. In scope (gr.HTML): element, trigger, props, server, watch;
// above this file: frames.js, draw.js, live.js. The server sends one small view (app/views.py) at a
// time; frames, boxes and poses are fetched by address and never travel through the component.

const $ = (selector) => element.querySelector(selector);
const root = $('.dp-canvas'), stage = $('.dp-stage'), pictureCanvas = $('.dp-picture');
const overlayCanvas = $('.dp-overlay'), slider = $('.dp-frame');
const pictureCtx = pictureCanvas.getContext('2d', { alpha: false }), overlayCtx = overlayCanvas.getContext('2d');

const S = {
  clip: null, times: [0], skeleton: null, session: null, person: null, revision: 0,
  frame: 0, shown: -1, playing: false, boxMode: false, busy: false, armed: false,
  steps: 4, hypotheses: 8, joint: 0, layers: new Set(),
  tracks: [], tracksUrl: '', truth: null, poses: new Map(), made: {}, readings: 0,
  view: { scale: 1, x: 0, y: 0, fitted: true }, errors: [],
};
let store = null, heat = null, draft = null, redraw = 0, wanted = 0, pumping = false;

const fileUrl = (path) => `gradio_api/file=${path}`;
const fetchJson = async (path) => { const r = await fetch(fileUrl(path)); if (!r.ok) throw new Error(path); return r.json(); };
const announce = (name, detail) => window.dispatchEvent(new CustomEvent(`diffpose:${name}`, { detail }));
const live = createLive((wish) => server.resample(wish), onLiveAnswer);

// ---- the server's view

let seenDownload = 0;
async function onView() {
  const view = props.value;
  if (!view || !view.session) return;
  S.session = view.session; S.skeleton = view.skeleton; S.made = view.made ?? {};
  if (view.download && view.download.count !== seenDownload) { seenDownload = view.download.count; download(view.download); }
  showStatus(view);
  if (view.clip?.id !== S.clip?.id) openClip(view.clip);
  if (!S.clip) return;
  if (view.clip) { S.clip.ready = view.clip.ready; store.setReady(view.clip.ready); }
  if (view.person !== S.person) { S.person = view.person; live.forget(); tellPoses(); }
  if (view.revision !== S.revision) { S.revision = view.revision; live.forget(); }
  S.busy = view.job.running;
  await Promise.all([readTracks(view.tracks), readPoses(view.poses)]).catch((error) => S.errors.push(String(error)));
  goTo(wanted); wish(); paintSoon();
}

function showStatus(view) {
  const box = $('.dp-status'), bar = $('.dp-progress');
  $('.dp-words').textContent = view.job.words;
  box.dataset.kind = view.job.kind;
  bar.hidden = !view.job.running;
  if (view.job.fraction === null) bar.removeAttribute('value'); else bar.value = view.job.fraction;
}

function openClip(clip) {
  store?.close(); live.forget(); stop();
  Object.assign(S, { clip: clip && { ...clip }, tracks: [], tracksUrl: '', truth: null, poses: new Map(), frame: 0, shown: -1, armed: false, times: [0] });
  heat = null; wanted = 0;
  $('.dp-empty').hidden = Boolean(clip);
  slider.max = clip ? clip.frames - 1 : 0; slider.value = 0;
  if (clip) {
    stage.style.aspectRatio = `${clip.width} / ${Math.max(clip.height, clip.width / 2.4)}`;
    store = createFrameStore(fileUrl(clip.url), clip.frames, paintSoon);
    const id = clip.id;
    fetchJson(clip.times).then((data) => { if (S.clip?.id === id) { S.times = data.times; S.truth = data.truth; tellPoses(); showTime(); paintSoon(); } });
  }
  fit(); tellPoses();
}

async function readTracks(url) {
  if (url === S.tracksUrl) return;
  S.tracksUrl = url;
  const data = url ? await fetchJson(url) : { tracks: [] };
  if (S.tracksUrl !== url) return;
  S.tracks = data.tracks.map((track) => ({ ...track, at: new Map(track.frames.map((frame, i) => [frame, track.boxes[i]])) }));
}

// Poses come in numbered parts, each a file of its own; a new generation replaces frame by frame.
async function readPoses(listing) {
  let changed = false;
  for (const [id, { generation, parts, base }] of Object.entries(listing ?? {})) {
    const track = Number(id);
    let held = S.poses.get(track);
    if (!held) S.poses.set(track, held = { byFrame: new Map() });
    if (held.generation !== generation) Object.assign(held, { generation, read: 0 });
    while (held.read < parts && held.generation === generation) {
      const part = await fetchJson(`${base}${held.read++}.json`);
      for (const frame of part.gone) held.byFrame.delete(frame);
      part.frames.forEach((frame, i) => held.byFrame.set(frame, part.poses[i]));
      changed = true;
    }
  }
  for (const track of S.poses.keys()) if (!listing?.[track]) { S.poses.delete(track); changed = true; }
  if (changed) tellPoses();
}

function download({ path, name }) {
  const link = Object.assign(document.createElement('a'), { href: fileUrl(path), download: name });
  document.body.append(link); link.click(); link.remove();
}

// ---- which frame

function goTo(frame) {
  if (!S.clip) return;
  const last = Math.max(0, Math.min(S.clip.frames, S.clip.ready || 1) - 1);
  wanted = Math.max(0, Math.min(last, frame));
  store.setCentre(wanted);
  pump();
}

async function pump() {
  if (pumping) return;
  pumping = true;
  try {
    while (S.clip && S.shown !== wanted) {
      const frame = wanted, of = store;
      const picture = await of.bitmap(frame).catch(() => null);
      if (of !== store) continue;
      if (!picture) break;
      S.frame = S.shown = frame;
      S.picture = picture;
      slider.value = frame; showTime(); paint();
      announce('frame', { frame, time: S.times[frame] ?? 0 });
      if (!S.playing) wish();
    }
  } finally { pumping = false; }
}

function showTime() {
  if (!S.clip) { $('.dp-time').textContent = '\u2013'; return; }
  const t = S.times[S.frame] ?? 0, minutes = Math.floor(t / 60);
  $('.dp-time').textContent = `${S.frame + 1} / ${S.clip.frames} \u00b7 ${minutes}:${(t - 60 * minutes).toFixed(2).padStart(5, '0')}`;
  slider.setAttribute('aria-valuetext', `Frame ${S.frame + 1} of ${S.clip.frames}, ${t.toFixed(2)} seconds`);
}

function play() {
  if (!S.clip || S.clip.frames < 2) return;
  if (S.frame >= S.clip.frames - 1) goTo(0);
  S.playing = true; root.classList.add('dp-playing');
  const from = wanted === 0 ? 0 : S.frame, began = performance.now();
  const speed = Number($('.dp-speed').value), start = S.times[from] ?? 0;
  const tick = () => {
    if (!S.playing || S.playToken !== token) return;
    const t = start + ((performance.now() - began) / 1000) * speed;
    let frame = wanted;
    while (frame + 1 < S.clip.frames && (S.times[frame + 1] ?? Infinity) <= t) frame++;
    if (frame !== wanted) goTo(frame);
    if (frame >= Math.min(S.clip.frames, S.clip.ready) - 1) { stop(); return; }
    requestAnimationFrame(tick);
  };
  const token = S.playToken = Symbol('play');
  requestAnimationFrame(tick);
}

function stop() { S.playing = false; root.classList.remove('dp-playing'); wish(); }

// ---- the current pose, sampled live

function wish() {
  const wanting = S.clip && S.shown >= 0 && !S.playing && S.person !== null && boxOf(S.person, S.frame)
    && (S.armed || (storedPose() && (S.layers.has('Heatmap') || S.layers.has('Hypotheses'))));
  live.ask(wanting ? { session: S.session, clip: S.clip.id, revision: S.revision, track: S.person, frame: S.frame, steps: S.steps, hypotheses: S.hypotheses, keypoint: S.joint } : null);
}

function onLiveAnswer(answer) {
  heat = answer.ok && answer.heat ? { ...answer.heat, picture: heatPicture(answer.heat) } : null;
  if (!answer.ok) { $('.dp-words').textContent = answer.error; $('.dp-status').dataset.kind = 'error'; }
  S.readings++;
  paint();
}

const storedPose = () => S.poses.get(S.person)?.byFrame.get(S.frame) ?? null;
const liveAnswer = () => live.answerFor(S.person, S.frame, S.steps, S.hypotheses);
const currentPose = () => liveAnswer()?.pose ?? storedPose();
const boxOf = (track, frame) => S.tracks.find(({ id }) => id === track)?.at.get(frame) ?? null;

function tellPoses() {
  announce('poses', { skeleton: S.skeleton, times: S.times, person: S.person, joint: S.joint, frames: S.clip?.frames ?? 0,
    byFrame: S.poses.get(S.person)?.byFrame ?? new Map(), radius: radiusOf });
  const done = S.poses.get(S.person)?.byFrame.size ?? 0;
  $('.dp-done').style.width = S.clip ? `${(100 * done) / S.clip.frames}%` : '0';
}

function chooseJoint(joint, { tell = false } = {}) {
  if (joint === S.joint) return;
  S.joint = joint; tellPoses(); wish(); paintSoon();
  if (tell) trigger('joint_picked', { joint });
}

// ---- painting

const at = (x, y) => [(x + 0.5) * S.view.scale + S.view.x, (y + 0.5) * S.view.scale + S.view.y];
const toVideo = (x, y) => [(x - S.view.x) / S.view.scale - 0.5, (y - S.view.y) / S.view.scale - 0.5];

function paintSoon() { if (!redraw) redraw = requestAnimationFrame(() => { redraw = 0; paint(); }); }

function paint() {
  const ratio = window.devicePixelRatio || 1, width = stage.clientWidth, height = stage.clientHeight;
  for (const canvas of [pictureCanvas, overlayCanvas]) {
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  }
  pictureCtx.setTransform(1, 0, 0, 1, 0, 0);
  pictureCtx.fillStyle = '#101214'; pictureCtx.fillRect(0, 0, pictureCanvas.width, pictureCanvas.height);
  overlayCtx.setTransform(ratio, 0, 0, ratio, 0, 0); overlayCtx.clearRect(0, 0, width, height);
  if (!S.clip || S.shown < 0) return;
  const scale = S.view.scale * ratio;
  pictureCtx.imageSmoothingEnabled = S.view.scale < 4;
  pictureCtx.drawImage(S.picture, S.view.x * ratio, S.view.y * ratio, S.clip.width * scale, S.clip.height * scale);
  paintOverlay(ratio);
  showBadge();
}

function paintOverlay(ratio) {
  const answer = liveAnswer(), pose = currentPose(), ctx = overlayCtx, has = (layer) => S.layers.has(layer);
  if (answer && heat && has('Heatmap') && live.answer.keypoint === S.joint) drawHeat(ctx, S.view, ratio, heat.picture, heat.affine);
  for (const track of S.tracks) {
    const box = track.at.get(S.frame), chosen = track.id === S.person;
    if (box && (has('Boxes') || S.boxMode)) drawBox(ctx, at, chosen && draft?.track === track.id ? draft.box : box, `Person ${track.id + 1}`, { chosen, handles: chosen && S.boxMode });
  }
  if (draft && draft.track === null) drawBox(ctx, at, draft.box, 'New person', { chosen: true });
  if (answer?.ghosts && has('Hypotheses')) drawGhosts(ctx, at, S.skeleton, answer.ghosts);
  for (const [id, held] of S.poses) {
    const other = held.byFrame.get(S.frame);
    if (id !== S.person && other && has('Skeleton')) drawSkeleton(ctx, at, S.skeleton, other, { alpha: 0.55, width: 2 });
  }
  if (pose && has('Uncertainty')) drawEllipses(ctx, at, S.view.scale, S.skeleton, pose, S.joint);
  if (pose && has('Skeleton')) { drawSkeleton(ctx, at, S.skeleton, pose); drawKeypoints(ctx, at, S.skeleton, pose, S.joint); }
  const truth = has('True pose') && S.truth?.[S.frame];
  if (truth) for (const person of truth) drawTruth(ctx, at, S.skeleton, person);
}

function showBadge() {
  const badge = $('.dp-badge'), answer = liveAnswer(), stored = storedPose(), made = S.made[S.person];
  const settings = answer ? [answer.steps, answer.hypotheses] : stored && made ? [made.steps, made.hypotheses] : null;
  badge.hidden = !settings;
  if (settings) badge.textContent = `${settings[0]} ${settings[0] === 1 ? 'step' : 'steps'} \u00d7 ${settings[1]} ${settings[1] === 1 ? 'sample' : 'samples'}${answer ? ` \u00b7 live, ${Math.round(answer.waited)} ms` : ''}`;
}

// ---- zoom

function fit() {
  if (!S.clip) { paintSoon(); return; }
  const width = stage.clientWidth, height = stage.clientHeight;
  const scale = Math.min(width / S.clip.width, height / S.clip.height);
  S.view = { scale, x: (width - scale * S.clip.width) / 2, y: (height - scale * S.clip.height) / 2, fitted: true };
  stage.classList.remove('dp-zoomed');
  paintSoon();
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!S.clip) return;
  const least = Math.min(stage.clientWidth / S.clip.width, stage.clientHeight / S.clip.height);
  const scale = Math.max(least, Math.min(least * 24, S.view.scale * factor));
  if (scale <= least * 1.001) { fit(); return; }
  const by = scale / S.view.scale;
  S.view = { scale, x: x - (x - S.view.x) * by, y: y - (y - S.view.y) * by, fitted: false };
  stage.classList.add('dp-zoomed');
  paintSoon();
}
