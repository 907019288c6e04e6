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

function tracesOf(value) {
  const traces = [];
  for (const curve of value.curves) {
    const colour = COLOURS[curve.colour] ?? COLOURS.centre, axes = { xaxis: 'x', yaxis: curve.row ? `y${curve.row + 1}` : 'y' };
    const band = { type: 'scatter', mode: 'lines', x: curve.t, line: { width: 0 }, hoverinfo: 'skip', showlegend: false, connectgaps: false, ...axes };
    traces.push({ ...band, y: curve.low }, { ...band, y: curve.high, fill: 'tonexty', fillcolor: fade(colour, 0.18) });
    traces.push({ type: 'scatter', mode: 'lines', x: curve.t, y: curve.v, name: curve.label, connectgaps: false, ...axes,
      line: { color: colour, width: 2, dash: curve.dashed ? 'dash' : 'solid' }, customdata: curve.t.map((_, i) => curve.half[i]),
      hovertemplate: `${curve.label}<br>%{y:.1f} ± %{customdata:.1f} ${curve.unit}<br>%{x:.2f} s<extra></extra>` });
    if (curve.filled.some(Boolean)) traces.push({ type: 'scatter', mode: 'lines', x: curve.t, y: curve.v.map((v, i) => (curve.filled[i] ? v : null)),
      name: 'interpolated', line: { color: '#000', width: 2, dash: 'dot' }, showlegend: false, hoverinfo: 'skip', ...axes });
  }
  return traces;
}

function layoutOf(value) {
  const style = getComputedStyle(wrap), text = style.color, rows = value.rows.length;
  const dark = document.body.classList.contains('dark') || document.documentElement.classList.contains('dark');
  const grid = dark ? 'rgba(255,255,255,.13)' : 'rgba(0,0,0,.1)', gap = rows > 1 ? 0.035 : 0;
  const axis = { gridcolor: grid, zeroline: false, linecolor: grid, fixedrange: true };
  const layout = {
    font: { family: 'system-ui, sans-serif', size: 12, color: text }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    height: ROW * rows + 70, margin: { l: 64, r: 16, t: 26, b: 40 }, hovermode: 'closest', dragmode: false, showlegend: true,
    legend: { orientation: 'h', y: 1, yanchor: 'bottom', x: 0 },
    xaxis: { ...axis, anchor: rows > 1 ? `y${rows}` : 'y', title: { text: 'seconds', standoff: 6 } },
    shapes: value.events.map((event) => ({ type: 'line', xref: 'x', yref: 'paper', x0: event.t, x1: event.t, y0: 0, y1: 1, line: { width: 1, color: '#888', dash: 'dot' } })),
    annotations: value.events.map((event) => ({ x: event.t, xref: 'x', y: 0, yref: 'paper', yanchor: 'bottom', text: event.label, showarrow: false, textangle: -90, font: { size: 10 }, xanchor: 'right' })),
  };
  value.rows.forEach((row, i) => {
    const top = 1 - i / rows, bottom = 1 - (i + 1) / rows;
    layout[i ? `yaxis${i + 1}` : 'yaxis'] = { ...axis, domain: [bottom + gap, top - (i ? gap : 0)], title: { text: row.unit, standoff: 4 }, nticks: 5 };
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
  cursor.hidden = !shown || plot.hidden || !layout?.xaxis?._length;
  if (cursor.hidden) return;
  cursor.style.transform = `translateX(${layout.xaxis._offset + layout.xaxis.d2p(time)}px)`;
  cursor.style.height = `${layout.height - layout.margin.b}px`;
}

function seek(event) {
  const axis = plot._fullLayout?.xaxis;
  if (!axis?._length || !shown) return;
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
