// Uncertainty over time, drawn by our own copy of Plotly: the chosen keypoint as a line, below it
// every keypoint as a row of colours; above both what was corrected and confirmed, on a canvas of its
// own that costs nothing to draw again. The cursor is a plain element: moving it costs nothing too.

const wrap = element.querySelector('.dp-timeline'), plot = element.querySelector('.dp-plot');
const strip = element.querySelector('.dp-marks'), cursor = element.querySelector('.dp-cursor'), empty = element.querySelector('.dp-timeline-empty');
const T = window.diffposeTimeline = { ready: false, drawn: 0, frame: 0, time: 0 };
const LINE = '#0072B2', LINE_DARK = '#56B4E9';
let data = null, timer = 0, loading = null, marks = null;

function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `gradio_api/file=${props.value.plotly}`;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error('the chart library could not be loaded'));
    document.head.append(script);
  });
  return loading;
}

const pretty = (name) => name.replaceAll('_', ' ');

function matrixOf({ byFrame, frames, skeleton, radius }) {
  const rows = skeleton.keypoints.map(() => new Array(frames).fill(null));
  for (const [frame, pose] of byFrame) pose.forEach((row, k) => { const r = radius(row); if (r !== null) rows[k][frame] = Math.round(r * 100) / 100; });
  return rows;
}

function ceilingOf(rows) {
  const values = rows.flat().filter((value) => value !== null).sort((a, b) => a - b);
  return values.length ? Math.max(1, values[Math.floor(0.98 * (values.length - 1))]) : 1;
}

function draw(Plotly) {
  timer = 0;
  if (!data || !data.byFrame.size) return;
  const names = data.skeleton.keypoints.map(pretty), rows = matrixOf(data), x = data.times.slice(0, data.frames);
  const style = getComputedStyle(wrap), text = style.getPropertyValue('--body-text-color').trim() || style.color;
  const dark = document.body.classList.contains('dark') || document.documentElement.classList.contains('dark');
  const grid = dark ? 'rgba(255,255,255,.13)' : 'rgba(0,0,0,.1)', line = dark ? LINE_DARK : LINE;
  const font = { family: 'system-ui, sans-serif', size: 12, color: text };
  const chosen = names[data.joint], top = ceilingOf(rows);
  const traces = [
    { type: 'scatter', mode: 'lines', x, y: rows[data.joint], xaxis: 'x', yaxis: 'y', line: { color: line, width: 2 }, connectgaps: false,
      hovertemplate: `${chosen}: %{y:.1f} px<br>%{x:.2f} s<extra></extra>` },
    { type: 'heatmap', x, y: names, z: rows, xaxis: 'x', yaxis: 'y2', colorscale: 'Cividis', zmin: 0, zmax: top, hoverongaps: false,
      hovertemplate: '%{y}: %{z:.1f} px<br>%{x:.2f} s<extra></extra>',
      colorbar: { title: { text: 'px', side: 'top' }, thickness: 10, len: 0.68, y: 0.33, outlinewidth: 0 } },
  ];
  const axis = { gridcolor: grid, zeroline: false, linecolor: grid, tickcolor: grid, fixedrange: true };
  const layout = {
    font, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false,
    height: 130 + 14 * names.length + 40, margin: { l: 112, r: 70, t: 26, b: 40 },
    hovermode: 'closest', dragmode: false,
    title: { text: `90 % radius of the ${chosen}${plot.clientWidth < 480 ? ', px' : ', in pixels'}`, x: 0, xref: 'paper', xanchor: 'left', y: 0.985, yanchor: 'top', font: { size: 13, color: text } },
    xaxis: { ...axis, anchor: 'y2', title: { text: 'seconds', standoff: 6 }, range: x.length > 1 ? [x[0], x[x.length - 1]] : undefined },
    yaxis: { ...axis, domain: [0.76, 1], rangemode: 'tozero', nticks: 4 },
    yaxis2: { ...axis, domain: [0, 0.7], autorange: 'reversed', tickfont: { size: 11 }, gridcolor: 'rgba(0,0,0,0)', tickmode: 'array', tickvals: names, ticktext: names.map((name, i) => (i === data.joint ? `<b>${name}</b>` : name)) },
  };
  plot.hidden = false; empty.hidden = true;
  const fresh = !plot.on;
  Plotly.react(plot, traces, layout, { displayModeBar: false, responsive: true }).then(() => {
    if (fresh || !T.ready) plot.on('plotly_afterplot', moveCursor);
    T.ready = true; T.drawn++;
    moveCursor(); drawMarks();
  });
}

// Where a pointer is, as a frame and (over the rows) a keypoint; null outside the axes.
function under(event) {
  const layout = plot._fullLayout, area = plot.getBoundingClientRect();
  if (!layout?.xaxis?._length || !data?.byFrame.size) return null;
  const x = event.clientX - area.left - layout.xaxis._offset, y = event.clientY - area.top;
  if (x < -6 || x > layout.xaxis._length + 6) return null;
  const time = layout.xaxis.p2d(x);
  let frame = 0;
  data.times.forEach((t, i) => { if (Math.abs(t - time) < Math.abs(data.times[frame] - time)) frame = i; });
  const row = layout.yaxis2, inside = y >= row._offset && y <= row._offset + row._length;
  const joint = inside ? Math.min(data.skeleton.keypoints.length - 1, Math.floor(((y - row._offset) / row._length) * data.skeleton.keypoints.length)) : null;
  return { frame, joint };
}

function moveCursor() {
  const layout = plot._fullLayout;
  cursor.hidden = !T.ready || !layout?.xaxis?._length || plot.hidden;
  if (cursor.hidden) return;
  const x = layout.xaxis._offset + Math.max(0, Math.min(layout.xaxis._length, layout.xaxis.d2p(T.time)));
  cursor.style.transform = `translateX(${x}px)`;
  const above = plot.offsetTop, top = strip.hidden ? above + layout.yaxis._offset : 0;
  cursor.style.top = `${top}px`;
  cursor.style.height = `${above + layout.yaxis2._offset + layout.yaxis2._length - top}px`;
}

// Two rows: a bar over confirmed frames, a diamond at corrected ones; behind them the chosen frames
// and those that a suggestion would change.
function drawMarks() {
  const any = marks && (marks.editing || [...marks.marks.values()].some((held) => held.confirmed || held.marks.some((mark) => mark & marks.corrected)));
  const axis = plot._fullLayout?.xaxis;
  strip.hidden = !any || !axis?._length || plot.hidden || !data;
  if (strip.hidden) { moveCursor(); return; }
  const ratio = window.devicePixelRatio || 1, width = strip.clientWidth, height = strip.clientHeight;
  strip.width = Math.round(width * ratio); strip.height = Math.round(height * ratio);
  const ctx = strip.getContext('2d'), text = getComputedStyle(wrap).color;
  ctx.scale(ratio, ratio);
  const centre = (frame) => axis._offset + axis.d2p(data.times[Math.max(0, Math.min(data.frames - 1, frame))]);
  const half = Math.max(1, axis._length / Math.max(1, data.frames - 1) / 2);
  const band = (first, last, top, size, colour) => {
    const from = Math.max(axis._offset, centre(first) - half), to = Math.min(axis._offset + axis._length, centre(last) + half);
    ctx.fillStyle = colour; ctx.fillRect(from, top, Math.max(1, to - from), size);
  };
  if (marks.chosen) band(...marks.chosen, 0, height, 'rgba(86,180,233,.45)');
  if (marks.suggested.length) band(marks.suggested[0], marks.suggested.at(-1), 0, height, 'rgba(240,228,66,.35)');
  ctx.font = '11px system-ui, sans-serif'; ctx.fillStyle = text; ctx.textBaseline = 'middle'; ctx.textAlign = 'right';
  ctx.fillText('confirmed', axis._offset - 8, 9); ctx.fillText('corrected', axis._offset - 8, 25);
  ctx.fillStyle = 'rgba(127,127,127,.18)'; ctx.fillRect(axis._offset, 5, axis._length, 8); ctx.fillRect(axis._offset, 21, axis._length, 8);
  for (const [frame, held] of marks.marks) {
    if (held.confirmed) band(frame, frame, 5, 8, '#009E73');
    if (!held.marks.some((mark) => mark & marks.corrected)) continue;
    const x = centre(frame), size = 6;
    ctx.beginPath(); ctx.moveTo(x, 25 - size); ctx.lineTo(x + size, 25); ctx.lineTo(x, 25 + size); ctx.lineTo(x - size, 25); ctx.closePath();
    ctx.fillStyle = '#E69F00'; ctx.fill(); ctx.strokeStyle = '#000'; ctx.lineWidth = 1; ctx.stroke();
  }
  moveCursor();
}

function seek(event, pick) {
  const place = under(event);
  if (!place) return;
  window.dispatchEvent(new CustomEvent('diffpose:seek', { detail: { frame: place.frame } }));
  if (pick && place.joint !== null) window.dispatchEvent(new CustomEvent('diffpose:pick-joint', { detail: { joint: place.joint } }));
}

let held = null;
function take(event, pick) {
  const place = event.button === 0 && under(event);
  if (!place) return;
  held = { first: place.frame, selects: event.shiftKey };
  if (!event.shiftKey) seek(event, pick);
}
function select(event) {
  const place = under(event);
  if (place) window.dispatchEvent(new CustomEvent('diffpose:select', { detail: { first: held.first, last: place.frame } }));
}
plot.addEventListener('pointerdown', (event) => take(event, true));
strip.addEventListener('pointerdown', (event) => take(event, false));
window.addEventListener('pointermove', (event) => { if (held) (held.selects ? select : seek)(event, false); });
window.addEventListener('pointerup', () => { held = null; });
window.addEventListener('diffpose:marks', (event) => { marks = event.detail; drawMarks(); });
new ResizeObserver(drawMarks).observe(strip.parentElement);

window.addEventListener('diffpose:poses', (event) => {
  data = event.detail;
  if (!data.byFrame.size) { plot.hidden = true; cursor.hidden = true; empty.hidden = false; return; }
  if (timer) return;
  timer = setTimeout(() => loadPlotly().then(draw).catch((error) => { timer = 0; empty.textContent = `No timeline: ${error.message}.`; }), T.ready ? (marks?.editing ? 700 : 250) : 0);
});
window.addEventListener('diffpose:frame', (event) => { T.frame = event.detail.frame; T.time = event.detail.time; moveCursor(); });
new MutationObserver(() => { if (T.ready) loadPlotly().then(draw); }).observe(document.body, { attributes: true, attributeFilter: ['class'] });
window.dispatchEvent(new CustomEvent('diffpose:hello'));
