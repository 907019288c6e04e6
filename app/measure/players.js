// Two sessions side by side under one transport, on the first one's clock: the second's times are
// later by the offset. In scope (gr.HTML): element, props, watch; above: asking.js, frames.js, draw.js.

const root = element.querySelector('.dp-players'), seekBar = element.querySelector('.dp-pair-seek');
const P = { key: '', offset: 0, tick: 0, ticks: [0], playing: false, closeUp: true, sides: [], drawn: 0 };
const clockOf = (side) => (side.number ? P.offset : 0);
const ask = (path) => fetchFile(`gradio_api/file=${path}`);
const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

// The nearest frame in time; -1 before the first and after the last.
function frameAt(side, time) {
  const { times, half } = side, local = time - clockOf(side);
  if (!times?.length || local < times[0] - half || local > times[times.length - 1] + half) return -1;
  let low = 0, high = times.length - 1;
  while (low < high) { const mid = (low + high) >> 1; if (times[mid] < local) low = mid + 1; else high = mid; }
  return low > 0 && local - times[low - 1] <= times[low] - local ? low - 1 : low;
}

async function open(value) {
  stop();
  for (const side of P.sides) side?.store?.close();
  Object.assign(P, { key: value.key, offset: value.offset, tick: 0, ticks: [0], sides: [] });
  root.hidden = !value.sides?.length;
  if (root.hidden) return;
  const sides = await Promise.all(value.sides.map(async (view, number) => (view ? { ...view, number, ...await ask(view.data) } : null)));
  if (P.key !== value.key) return;
  P.sides = sides.map((side, number) => prepare(side, number));
  layTicks(P.sides[0]?.times?.[0] ?? 0);
}

function prepare(side, number) {
  const figure = root.querySelectorAll('.dp-player')[number], name = figure.querySelector('.dp-name');
  const parts = { canvas: figure.querySelector('canvas'), none: figure.querySelector('.dp-none'), where: figure.querySelector('.dp-where') };
  name.textContent = side?.name ?? 'Second session';
  if (!side) { parts.none.hidden = false; parts.none.textContent = 'This file holds numbers only: there is no video to show.'; parts.where.textContent = ''; return null; }
  const spans = side.poses.map(spanOf).filter(Boolean), steps = side.times.slice(1).map((t, i) => t - side.times[i]);
  const made = { ...side, ...parts, frame: -1, picture: null, byFrame: new Map(side.frames_of.map((f, i) => [f, side.poses[i]])), half: steps.length ? middle(steps) / 2 : 0.5, tall: Math.max(8, ...spans.map(([, top, , bottom]) => bottom - top)), centre: null };
  if (side.url) { made.store = createFrameStore(`gradio_api/file=${side.url}`, side.count, () => {}); made.store.setReady(side.count); }
  return made;
}

function spanOf(pose) {
  const points = pose?.filter(Boolean) ?? [];
  if (!points.length) return null;
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

// Positions of the transport: the first one's frames, then those of the second that lie outside.
function layTicks(time) {
  const [first, second] = P.sides, own = first?.times ?? [];
  const late = (second?.times ?? []).map((t) => t + P.offset).filter((t) => !own.length || t < own[0] - first.half || t > own[own.length - 1] + first.half);
  P.ticks = [...own, ...late].sort((a, b) => a - b);
  seekBar.max = P.ticks.length - 1;
  goTo(nearestTick(time));
}

const nearestTick = (time) => P.ticks.reduce((best, t, i) => (Math.abs(t - time) < Math.abs(P.ticks[best] - time) ? i : best), 0);

function goTo(tick) {
  P.tick = Math.max(0, Math.min(P.ticks.length - 1, tick));
  const time = P.ticks[P.tick] ?? 0;
  seekBar.value = P.tick;
  root.querySelector('.dp-time').textContent = `${time.toFixed(2)} s`;
  seekBar.setAttribute('aria-valuetext', `${time.toFixed(2)} seconds`);
  for (const side of P.sides) if (side) show(side, frameAt(side, time));
  window.dispatchEvent(new CustomEvent('diffpose:compare-frame', { detail: { time } }));
}

function show(side, frame) {
  side.wanted = frame;
  side.none.hidden = frame >= 0;
  if (frame < 0) { side.none.textContent = 'Not recorded at this moment.'; side.where.textContent = ''; side.frame = -1; paint(side); return; }
  side.where.textContent = `frame ${frame + 1} of ${side.count} \u00b7 ${side.times[frame].toFixed(2)} s`;
  if (!side.store) { side.frame = frame; paint(side); return; }
  side.store.setCentre(frame);
  pump(side);
}

// One picture at a time: what has been asked for meanwhile is overtaken by what is wanted now.
async function pump(side) {
  if (side.pumping) return;
  side.pumping = true;
  try {
    while (side.wanted >= 0 && side.frame !== side.wanted) {
      const frame = side.wanted, here = () => side.wanted === frame && P.sides.includes(side);
      const picture = await askUntilAnswered(() => side.store.bitmap(frame), here);
      if (side.wanted < 0 || !P.sides.includes(side)) break;
      if (!picture) continue;
      Object.assign(side, { frame, picture });
      side.store.setShown(frame); paint(side);
    }
  } finally { side.pumping = false; }
}

function viewOf(side, width, height, pose) {
  const whole = Math.min(width / side.width, height / side.height), span = spanOf(pose);
  if (span) side.centre = [(span[0] + span[2]) / 2, (span[1] + span[3]) / 2];
  if (!P.closeUp || !side.centre) return { scale: whole, x: (width - whole * side.width) / 2, y: (height - whole * side.height) / 2 };
  const scale = Math.max(whole, (0.72 * height) / side.tall);
  return { scale, x: width / 2 - (side.centre[0] + 0.5) * scale, y: height / 2 - (side.centre[1] + 0.5) * scale };
}

function paint(side) {
  const { canvas } = side, ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext('2d');
  if (side.frame < 0 || !width) return;
  const pose = side.byFrame.get(side.frame) ?? null, view = viewOf(side, width, height, pose);
  const at = (x, y) => [(x + 0.5) * view.scale + view.x, (y + 0.5) * view.scale + view.y];
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (side.picture) ctx.drawImage(side.picture, view.x, view.y, side.width * view.scale, side.height * view.scale);
  if (pose) { drawEllipses(ctx, at, view.scale, side.skeleton, pose, -1); drawSkeleton(ctx, at, side.skeleton, pose); drawKeypoints(ctx, at, side.skeleton, pose, -1); }
  P.drawn += 1;
}

function play() {
  if (P.ticks.length < 2) return;
  if (P.tick >= P.ticks.length - 1) goTo(0);
  P.playing = true; root.classList.add('dp-playing');
  const began = performance.now(), start = P.ticks[P.tick], speed = Number(root.querySelector('.dp-speed').value), token = P.token = Symbol('play');
  const step = () => {
    if (!P.playing || P.token !== token || !element.isConnected) return;
    const time = start + ((performance.now() - began) / 1000) * speed;
    let tick = P.tick;
    while (tick + 1 < P.ticks.length && P.ticks[tick + 1] <= time) tick++;
    if (tick !== P.tick) goTo(tick);
    if (tick >= P.ticks.length - 1) stop(); else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
function stop() { P.playing = false; root.classList.remove('dp-playing'); }
function jump(tick) { stop(); goTo(tick); }

const ACTS = {
  play: () => (P.playing ? stop() : play()),
  back: () => jump(P.tick - 1),
  on: () => jump(P.tick + 1),
  close: () => { P.closeUp = !P.closeUp; root.querySelector('[data-act=close]').setAttribute('aria-pressed', String(P.closeUp)); repaint(); },
};
const KEYS = { ' ': ACTS.play, ArrowLeft: ACTS.back, ArrowRight: ACTS.on, Home: () => jump(0), End: () => jump(P.ticks.length - 1) };
const repaint = () => { for (const side of P.sides) if (side) paint(side); };

root.addEventListener('click', (event) => ACTS[event.target.closest('[data-act]')?.dataset.act]?.());
seekBar.addEventListener('input', () => jump(Number(seekBar.value)));
root.addEventListener('keydown', (event) => {
  event.stopPropagation(); // the video above listens to the same keys
  const own = event.target.closest('select') || (event.key === ' ' && event.target.closest('button'));
  if (own || !KEYS[event.key]) return;
  event.preventDefault(); KEYS[event.key]();
});
window.addEventListener('diffpose:compare-seek', (event) => { if (P.sides.length) jump(nearestTick(event.detail.time)); });
window.addEventListener('diffpose:compare-offset', (event) => shift(event.detail.offset));
function shift(offset) {
  if (!P.sides.length || !Number.isFinite(offset) || offset === P.offset) return;
  const time = P.ticks[P.tick];
  P.offset = offset; layTicks(time);
}

function onValue() {
  const value = props.value;
  if (!value?.key) return;
  if (value.key !== P.key) open(value).catch((error) => { root.hidden = false; root.querySelector('.dp-none').textContent = String(error); });
  else shift(value.offset);
}
window.diffposePlayers = { state: P, goTo: jump };
new ResizeObserver(repaint).observe(root);
watch('value', onValue);
onValue();
