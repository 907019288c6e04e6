// Measured curves with their 90 % bands, one row a joint, drawn by our own copy of Plotly. A press or
// drag seeks the video; the cursor follows it. Several charts may be on a page: each redraws when
// its own value changes, and one that compares speaks with the two players instead of the video.

const wrap = element.querySelector('.dp-chart'), plot = element.querySelector('.dp-chart-plot');
const cursor = element.querySelector('.dp-chart-cursor'), empty = element.querySelector('.dp-chart-empty');
const ROW = 150, COLOURS = { left: '#D55E00', right: '#0072B2', centre: '#56606A' };
let shown = null, time = 0, drawn = 0;

function loadPlotly() {
  window.diffposePlotly ??= window.Plotly ? Promise.resolve(window.Plotly) : new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `gradio_api/file=${props.value.plotly}`;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error('the chart library could not be loaded'));
    document.head.append(script);
  });
  return window.diffposePlotly;
}

const fade = (hex, alpha) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(',')},${alpha})`;
const colourOf = ({ colour }) => COLOURS[colour] ?? COLOURS.centre;
const axesOf = ({ row }) => ({ xaxis: 'x', yaxis: row ? `y${row + 1}` : 'y' });
const escaped = (words) => words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

// The rows say which joint; the legend says which side and session, each once.
function legendOf(curve, seen) {
  const side = { left: 'left', right: 'right' }[curve.colour];
  const name = [side ?? curve.label, curve.dashed ? 'second session' : ''].filter(Boolean).join(', ');
  const shown = !seen.has(name);
  seen.add(name);
  return { name, legendgroup: name, showlegend: shown };
}

function tracesOf(value) {
  const traces = [], seen = new Set();
  for (const curve of value.curves) {
    const colour = colourOf(curve), axes = axesOf(curve), legend = legendOf(curve, seen);
    if (value.dates) { traces.push({ ...datedTrace(curve, colour), ...axes, ...legend }); continue; }
    const band = { type: 'scatter', mode: 'lines', x: curve.t, line: { width: 0 }, hoverinfo: 'skip', showlegend: false, connectgaps: false, ...axes };
    traces.push({ ...band, y: curve.low }, { ...band, y: curve.high, fill: 'tonexty', fillcolor: fade(colour, curve.dashed ? 0.1 : 0.18) });
    traces.push({ type: 'scatter', mode: 'lines', x: curve.t, y: curve.v, connectgaps: false, ...axes, ...legend,
      line: { color: colour, width: 2, dash: curve.dashed ? 'dash' : 'solid' }, customdata: curve.t.map((_, i) => curve.half[i]),
      hovertemplate: `${escaped(curve.label)}<br>%{y:.1f} \u00b1 %{customdata:.1f} ${curve.unit}<br>%{x:.2f} s<extra></extra>` });
    if (curve.filled.some(Boolean)) traces.push({ type: 'scatter', mode: 'lines', x: curve.t, y: curve.v.map((v, i) => (curve.filled[i] ? v : null)),
      name: 'interpolated', legendgroup: 'interpolated', showlegend: !seen.has('interpolated') && Boolean(seen.add('interpolated')), line: { color: '#000', width: 2, dash: 'dot' }, hoverinfo: 'skip', ...axes });
  }
  return traces;
}

// A number over the sessions: points with their intervals, not a curve with a band.
const datedTrace = (curve, colour) => ({
  type: 'scatter', mode: 'lines+markers', x: curve.t, y: curve.v, line: { color: colour, width: 1.5, dash: 'dot' }, marker: { size: 9 },
  error_y: { type: 'data', symmetric: false, array: curve.v.map((v, i) => curve.high[i] - v), arrayminus: curve.v.map((v, i) => v - curve.low[i]), thickness: 2, width: 6 },
  text: curve.words, hovertemplate: `${escaped(curve.label)}<br>%{x}<br>%{text}<extra></extra>`,
});

// Events as lines; at the foot of a row a bar where the two sessions probably differ.
const shapesOf = (value) => [
  ...value.events.map(({ t }) => ({ type: 'line', xref: 'x', yref: 'paper', x0: t, x1: t, y0: 0, y1: 1, line: { width: 1, color: '#888', dash: 'dot' } })),
  ...(value.real ?? []).map((bar) => ({ type: 'rect', xref: 'x', yref: `${axesOf(bar).yaxis} domain`, x0: bar.from, x1: bar.to, y0: bar.colour === 'right' ? 0 : 0.045, y1: bar.colour === 'right' ? 0.04 : 0.085, line: { width: 0 }, fillcolor: colourOf(bar) })),
];

const wordsOf = (value, tops) => [
  ...value.events.map(({ t, label }) => ({ x: t, xref: 'x', y: 0, yref: 'paper', yanchor: 'bottom', text: escaped(label), showarrow: false, textangle: -90, font: { size: 10 }, xanchor: 'right' })),
  ...value.rows.map(({ title }, i) => ({ x: 0, xref: 'paper', y: tops[i], yref: 'paper', xanchor: 'left', yanchor: 'bottom', text: `<b>${escaped(title)}</b>`, showarrow: false, font: { size: 12 } })),
];

function layoutOf(value) {
  const style = getComputedStyle(wrap), text = style.color, rows = value.rows.length;
  const dark = document.body.classList.contains('dark') || document.documentElement.classList.contains('dark');
  const grid = dark ? 'rgba(255,255,255,.13)' : 'rgba(0,0,0,.1)', height = ROW * rows + 84, plotted = height - 84;
  const tops = value.rows.map((_, i) => 1 - i / rows - (i ? 26 / plotted : 0));
  const axis = { gridcolor: grid, zeroline: false, linecolor: grid, fixedrange: true };
  const dates = value.dates ? { type: 'date', tickformat: '%-d %b %Y', tickvals: value.dates } : { title: { text: 'seconds', standoff: 6 } };
  const layout = {
    font: { family: 'system-ui, sans-serif', size: 12, color: text }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    height, margin: { l: 58, r: 16, t: 44, b: 40 }, hovermode: 'closest', dragmode: false, showlegend: true,
    legend: { orientation: 'h', y: 1 + 18 / plotted, yanchor: 'bottom', x: 1, xanchor: 'right', itemclick: false, itemdoubleclick: false },
    xaxis: { ...axis, anchor: rows > 1 ? `y${rows}` : 'y', ...dates },
    shapes: shapesOf(value), annotations: wordsOf(value, tops),
  };
  value.rows.forEach((row, i) => {
    layout[i ? `yaxis${i + 1}` : 'yaxis'] = { ...axis, domain: [1 - (i + 1) / rows, tops[i]], title: { text: row.unit, standoff: 4 }, nticks: 5 };
  });
  return layout;
}

function draw() {
  const value = props.value;
  if (!value.curves?.length) { plot.hidden = true; cursor.hidden = true; empty.hidden = false; empty.textContent = value.words ?? ''; shown = null; wrap.dataset.drawn = ''; return; }
  loadPlotly().then((Plotly) => {
    plot.hidden = false; empty.hidden = true; shown = value;
    return Plotly.react(plot, tracesOf(value), layoutOf(value), { displayModeBar: false, responsive: true }).then(() => {
      drawn += 1; wrap.dataset.drawn = String(drawn);
      moveCursor();
    });
  }).catch((error) => { empty.hidden = false; empty.textContent = `No chart: ${error.message}.`; });
}

function moveCursor() {
  const layout = plot._fullLayout;
  cursor.hidden = !shown || shown.dates || plot.hidden || !layout?.xaxis?._length;
  if (cursor.hidden) return;
  cursor.style.transform = `translateX(${layout.xaxis._offset + layout.xaxis.d2p(time)}px)`;
  cursor.style.height = `${layout.height - layout.margin.b}px`;
}

function seek(event) {
  const axis = plot._fullLayout?.xaxis;
  if (!axis?._length || !shown || shown.dates) return;
  const x = event.clientX - plot.getBoundingClientRect().left - axis._offset;
  if (x < -6 || x > axis._length + 6) return;
  const wanted = axis.p2d(x);
  if (shown.pair) { window.dispatchEvent(new CustomEvent('diffpose:compare-seek', { detail: { time: wanted } })); return; }
  if (!shown.times.length) return;
  let row = 0;
  shown.times.forEach((t, i) => { if (Math.abs(t - wanted) < Math.abs(shown.times[row] - wanted)) row = i; });
  window.dispatchEvent(new CustomEvent('diffpose:seek', { detail: { frame: shown.frames[row] } }));
}

let held = false;
plot.addEventListener('pointerdown', (event) => { if (event.button === 0) { held = true; seek(event); } });
window.addEventListener('pointermove', (event) => { if (held) seek(event); });
window.addEventListener('pointerup', () => { held = false; });
const follow = (pair) => (event) => { if (Boolean(shown?.pair) === pair) { time = event.detail.time; moveCursor(); } };
window.addEventListener('diffpose:frame', follow(false));
window.addEventListener('diffpose:compare-frame', follow(true));
new ResizeObserver(moveCursor).observe(wrap);
watch('value', draw);
draw();
