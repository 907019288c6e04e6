// The picture with everything over it. In scope (gr.HTML): element, trigger, props, server, watch;
// above this file: asking.js, frames.js, draw.js, trails.js, live.js, desk.js; below: paint.js, edit.js, input.js.
// The server sends one small view (app/views.py) at a time; frames, boxes and poses are fetched by
// address and never travel through the component.

const $ = (selector) => element.querySelector(selector);
const root = $('.dp-canvas'), stage = $('.dp-stage'), pictureCanvas = $('.dp-picture');
const overlayCanvas = $('.dp-overlay'), slider = $('.dp-frame');
const pictureCtx = pictureCanvas.getContext('2d', { alpha: false }), overlayCtx = overlayCanvas.getContext('2d');

const S = {
  clip: null, times: [0], skeleton: null, session: null, person: null, project: null,
  frame: 0, shown: -1, playing: false, boxMode: false, busy: false, armed: false,
  steps: 4, hypotheses: 8, joint: 0, layers: new Set(),
  tracks: [], tracksUrl: '', truth: null, poses: new Map(), made: {}, readings: 0, updates: 0,
  view: { scale: 1, x: 0, y: 0, fitted: true }, errors: [],
};
const heats = new Map();
let leaving = new AbortController(); // ends what is being fetched for a clip when another comes
let store = null, draft = null, redraw = 0, wanted = 0, pumping = false, stalePicture = true;

const fileUrl = (path) => `gradio_api/file=${path}`;
const fetchJson = (path) => fetchFile(fileUrl(path), leaving.signal);
const announce = (name, detail) => window.dispatchEvent(new CustomEvent(`diffpose:${name}`, { detail }));
const live = createLive((wish) => server.resample(wish), { onAnswer: onLiveAnswer, onMiss: onLiveMiss });

// ---- the server's view

let seenDownload = 0;
async function onView() {
  const view = props.value;
  if (!view || !view.session) return;
  S.session = view.session; S.skeleton = view.skeleton; S.made = view.project?.made ?? {};
  if (view.download && view.download.count !== seenDownload) { seenDownload = view.download.count; download(view.download); }
  showStatus(view);
  if (view.clip?.id !== S.clip?.id) openClip(view.clip);
  readProject(view.project);
  if (!S.clip) return;
  if (view.clip) { S.clip.ready = view.clip.ready; store.setReady(view.clip.ready); }
  if (view.person !== S.person) { S.person = view.person; live.forget(); tellPoses(); tellMarks(); }
  if (S.busy && !view.job.running) { live.forget(); later('queue', 300, refreshQueue); } // other poses, another model
  S.busy = view.job.running;
  if (S.busy && E.on) setEdit(false);
  if (E.due && !S.busy) refreshQueue();
  showTools();
  const { id } = S.clip;
  await readTracks(view.tracks).catch(troubleOf(id));
  if (S.clip?.id !== id) return;
  catchUp();
  goTo(wanted); wish(); paintSoon();
}

// All poses are the project's: its revision says whether there are newer ones than are shown.
function readProject(project) {
  S.project = project ?? null;
  if ((project?.id ?? null) !== desk.state.project) {
    openProject(project ?? null); S.poses = new Map(); tellPoses();
    sessionStorage.setItem('diffpose-project', project?.listed ? project.id : '');
  }
  tellProject();
}

function tellProject() { announce('project', { ...S.project, waiting: desk.state.waiting, trouble: desk.state.trouble }); }

function catchUp() {
  if (S.project && desk.state.project === S.project.id && S.project.revision > desk.state.revision && desk.idle) desk.post('look');
}

function showStatus(view) {
  const box = $('.dp-status'), bar = $('.dp-progress');
  $('.dp-words').textContent = view.job.words;
  box.dataset.kind = view.job.kind;
  showModel(view.model);
  bar.hidden = !view.job.running;
  if (view.job.fraction === null) bar.removeAttribute('value'); else bar.value = view.job.fraction;
}

// Which model is active; what another one said of the picture is not shown any more.
function showModel(model) {
  const force = $('.dp-force'), words = model?.words ?? '';
  if (force.textContent && force.textContent !== words) { live.forget(); heats.clear(); }
  force.textContent = words; force.hidden = !model;
  force.toggleAttribute('data-adapted', Boolean(model?.adapted));
}

// What fails for a clip that is shown no more is no trouble: its files go.
const troubleOf = (id) => (error) => { if (S.clip?.id === id) S.errors.push(String(error)); };

function openClip(clip) {
  leaving.abort(); leaving = new AbortController();
  store?.close(); live.forget(); stop();
  Object.assign(S, { clip: clip && { ...clip }, tracks: [], tracksUrl: '', truth: null, poses: new Map(), frame: 0, shown: -1, armed: false, times: [0] });
  openProject(null); heats.clear(); wanted = 0;
  $('.dp-empty').hidden = Boolean(clip);
  slider.max = clip ? clip.frames - 1 : 0; slider.value = 0;
  if (clip) {
    stage.style.aspectRatio = `${clip.width} / ${Math.max(clip.height, clip.width / 2.4)}`;
    store = createFrameStore(fileUrl(clip.url), clip.frames, paintSoon);
    const id = clip.id;
    fetchJson(clip.times).then((data) => { if (S.clip?.id === id) { S.times = data.times; S.truth = data.truth; tellPoses(); showTime(); paintSoon(); } }).catch(troubleOf(id));
  }
  fit(); tellPoses();
}

async function readTracks(url) {
  if (url === S.tracksUrl) return;
  S.tracksUrl = url;
  const data = url ? await fetchJson(url) : { tracks: [] };
  if (S.tracksUrl !== url) return;
  live.forget();
  S.tracks = data.tracks.map((track) => ({ ...track, at: new Map(track.frames.map((frame, i) => [frame, track.boxes[i]])) }));
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
  if (S.clip.ready) pump(); // before that there is no picture to ask for
}

async function pump() {
  if (pumping) return;
  pumping = true;
  try {
    while (S.clip && S.shown !== wanted) {
      const frame = wanted, of = store;
      const picture = await askUntilAnswered(() => of.bitmap(frame), () => of === store && frame === wanted);
      if (of !== store || !picture) continue;
      if (E.draft?.keys && frame !== S.frame) commitNudge();
      S.frame = S.shown = frame;
      S.picture = picture; stalePicture = true; of.setShown(frame);
      slider.value = frame; showTime(); paint(); S.updates++;
      announce('frame', { frame, time: S.times[frame] ?? 0 });
      if (!S.playing) wish();
      if (E.on) { lookAround(); if (E.anchor !== null) { tellMarks(); showTools(); } }
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
    && !(E.on && !S.layers.has('Heatmap')) && (S.armed || (storedPose() && (S.layers.has('Heatmap') || S.layers.has('Hypotheses'))));
  live.ask(wanting ? { session: S.session, clip: S.clip.id, boxes: S.tracksUrl, track: S.person, frame: S.frame, steps: S.steps, hypotheses: S.hypotheses, keypoint: S.joint } : null);
}

function onLiveAnswer(answer) {
  if (answer.ok && answer.heat) keepHeat(answer);
  if (!answer.ok && !S.busy) { $('.dp-words').textContent = answer.error; $('.dp-status').dataset.kind = 'error'; }
  S.readings++;
  paint();
}

function onLiveMiss(missed) {
  if (missed) say('The server does not answer; it is asked again.', 'error'); else say('The server answers again.', 'done');
}

// Heatmaps that have been seen stay, so that scrubbing over them shows them again.
const heatKey = (frame, joint) => [S.clip?.id, S.tracksUrl, S.person, frame, joint, S.steps, S.hypotheses].join('/');
const heatHere = () => heats.get(heatKey(S.frame, S.joint)) ?? null;
function keepHeat({ frame, keypoint, heat }) {
  heats.set(heatKey(frame, keypoint), { ...heat, picture: heatPicture(heat) });
  if (heats.size > 400) heats.delete(heats.keys().next().value);
}

const storedPose = () => S.poses.get(S.person)?.byFrame.get(S.frame) ?? null;
const liveAnswer = () => live.answerFor(S.person, S.frame, S.steps, S.hypotheses);
// What a person has corrected is never painted over by a live sample.
const currentPose = () => (E.on ? editedPose() : (isCorrected(S.frame) ? null : liveAnswer()?.pose) ?? storedPose());
const boxOf = (track, frame) => S.tracks.find(({ id }) => id === track)?.at.get(frame) ?? null;

function tellPoses() {
  announce('poses', { skeleton: S.skeleton, times: S.times, person: S.person, joint: S.joint, frames: S.clip?.frames ?? 0,
    byFrame: S.poses.get(S.person)?.byFrame ?? new Map(), radius: radiusOf });
  const done = S.poses.get(S.person)?.byFrame.size ?? 0;
  $('.dp-done').style.width = S.clip ? `${(100 * done) / S.clip.frames}%` : '0';
}

function chooseJoint(joint, { tell = false } = {}) {
  if (joint === S.joint) return;
  S.joint = joint; tellPoses(); wish(); showTools(); paintSoon();
  if (tell) trigger('joint_picked', { joint });
}

// ---- view

const at = (x, y) => [(x + 0.5) * S.view.scale + S.view.x, (y + 0.5) * S.view.scale + S.view.y];
const toVideo = (x, y) => [(x - S.view.x) / S.view.scale - 0.5, (y - S.view.y) / S.view.scale - 0.5];

function fit() {
  if (!S.clip) { paintSoon(); return; }
  const width = stage.clientWidth, height = stage.clientHeight;
  const scale = Math.min(width / S.clip.width, height / S.clip.height);
  S.view = { scale, x: (width - scale * S.clip.width) / 2, y: (height - scale * S.clip.height) / 2, fitted: true };
  stage.classList.remove('dp-zoomed');
  stalePicture = true; paintSoon();
}

function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  if (!S.clip) return;
  const least = Math.min(stage.clientWidth / S.clip.width, stage.clientHeight / S.clip.height);
  const scale = Math.max(least, Math.min(least * 24, S.view.scale * factor));
  if (scale <= least * 1.001) { fit(); return; }
  const by = scale / S.view.scale;
  S.view = { scale, x: x - (x - S.view.x) * by, y: y - (y - S.view.y) * by, fitted: false };
  stage.classList.add('dp-zoomed');
  stalePicture = true; paintSoon();
}

function spanOf(pose) {
  const points = pose?.filter(Boolean) ?? [];
  if (!points.length) return null;
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

// Fill the window with the chosen person.
function zoomToPerson() {
  const span = spanOf(currentPose()) ?? boxOf(S.person, S.frame);
  if (!span) return;
  const [x1, y1, x2, y2] = span, width = stage.clientWidth, height = stage.clientHeight;
  fit();
  zoom(Math.min(width / (1.5 * Math.max(8, x2 - x1)), height / (1.35 * Math.max(8, y2 - y1))) / S.view.scale);
  centreOn(currentPose() ?? [[x1, y1], [x2, y2]]);
}

function centreOn(pose) {
  const span = spanOf(pose);
  if (!span || S.view.fitted) return;
  const [x, y] = at((span[0] + span[2]) / 2, (span[1] + span[3]) / 2);
  S.view.x += stage.clientWidth / 2 - x; S.view.y += stage.clientHeight / 2 - y;
  stalePicture = true; paintSoon();
}
