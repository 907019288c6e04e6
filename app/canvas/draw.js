// What lies over the picture. Everything is drawn in screen pixels: `at` carries video to screen.
// A pose is one row a keypoint: [x, y, confidence, cxx, cxy, cyy]; null where it is unknown.

const BOX_COLOUR = '#FFFFFF', TRUTH_COLOUR = '#CC79A7';
const NINETY = Math.sqrt(-2 * Math.log(0.1)); // radius of the 90 % region of a 2-D Gaussian, in sigmas
const FAINT = 0.1; // below this confidence a keypoint is drawn hollow and its limbs faint

const words = (name) => name.replaceAll('_', ' ');

function ellipseOf([, , , cxx, cxy, cyy]) {
  const mean = (cxx + cyy) / 2, spread = Math.hypot((cxx - cyy) / 2, cxy);
  return {
    major: NINETY * Math.sqrt(Math.max(0, mean + spread)),
    minor: NINETY * Math.sqrt(Math.max(0, mean - spread)),
    angle: 0.5 * Math.atan2(2 * cxy, cxx - cyy),
  };
}

// The radius of the circle with the spread of the ellipse: what the timeline shows, in video pixels.
const radiusOf = (row) => (row && row[3] !== null ? NINETY * Math.sqrt(Math.max(0, (row[3] + row[5]) / 2)) : null);

function drawSkeleton(ctx, at, skeleton, pose, { alpha = 1, width = 3 } = {}) {
  ctx.lineCap = 'round';
  for (const casing of [true, false]) {
    for (const [number, edge] of skeleton.edges.entries()) {
      const a = pose[edge[0]], b = pose[edge[1]];
      if (!a || !b) continue;
      const sure = Math.min(a[2] ?? 1, b[2] ?? 1);
      const [x1, y1] = at(a[0], a[1]), [x2, y2] = at(b[0], b[1]);
      ctx.globalAlpha = alpha * (sure < FAINT ? 0.35 : 1) * (casing ? 0.6 : 1);
      ctx.strokeStyle = casing ? '#000' : skeleton.edge_colours[number];
      ctx.lineWidth = casing ? width + 2 : width;
      ctx.beginPath(); ctx.moveTo(x1, y1); ctx.lineTo(x2, y2); ctx.stroke();
    }
  }
  ctx.globalAlpha = 1;
}

function drawKeypoints(ctx, at, skeleton, pose, chosen) {
  pose.forEach((row, index) => {
    if (!row) return;
    const [x, y] = at(row[0], row[1]), hollow = (row[2] ?? 1) < FAINT;
    ctx.beginPath(); ctx.arc(x, y, index === chosen ? 6 : 4, 0, 2 * Math.PI);
    ctx.fillStyle = hollow ? 'rgba(0,0,0,.45)' : skeleton.colours[index];
    ctx.strokeStyle = index === chosen ? '#fff' : hollow ? skeleton.colours[index] : '#000';
    ctx.lineWidth = index === chosen ? 2.5 : 1.25;
    ctx.fill(); ctx.stroke();
  });
}

function drawEllipses(ctx, at, scale, skeleton, pose, chosen) {
  pose.forEach((row, index) => {
    if (!row || row[3] === null || !(row[3] || row[5])) return; // unknown, or placed by hand
    const { major, minor, angle } = ellipseOf(row), [x, y] = at(row[0], row[1]);
    const colour = skeleton.colours[index];
    ctx.beginPath(); ctx.ellipse(x, y, Math.max(1, major * scale), Math.max(1, minor * scale), angle, 0, 2 * Math.PI);
    ctx.fillStyle = colour; ctx.globalAlpha = index === chosen ? 0.3 : 0.16; ctx.fill();
    ctx.globalAlpha = 0.9; ctx.strokeStyle = colour; ctx.lineWidth = index === chosen ? 2 : 1; ctx.stroke();
    ctx.globalAlpha = 1;
  });
}

// Dashed, over the rest: where it hides the skeleton the two agree.
function drawTruth(ctx, at, skeleton, pose) {
  ctx.setLineDash([5, 4]); ctx.lineWidth = 2; ctx.strokeStyle = TRUTH_COLOUR;
  for (const [a, b] of skeleton.edges) {
    if (!pose[a] || !pose[b]) continue;
    ctx.beginPath(); ctx.moveTo(...at(pose[a][0], pose[a][1])); ctx.lineTo(...at(pose[b][0], pose[b][1])); ctx.stroke();
  }
  ctx.setLineDash([]);
}

function drawGhosts(ctx, at, skeleton, ghosts) {
  ctx.globalAlpha = Math.max(0.25, Math.min(0.7, 4 / ghosts.length));
  ctx.lineCap = 'round';
  for (const [style, width] of [['#000', 3], ['#fff', 1.4]]) {
    ctx.strokeStyle = style; ctx.lineWidth = width;
    for (const ghost of ghosts) {
      for (const [from, to] of skeleton.edges) {
        const a = ghost[from], b = ghost[to];
        if (!a || !b) continue;
        ctx.beginPath(); ctx.moveTo(...at(a[0], a[1])); ctx.lineTo(...at(b[0], b[1])); ctx.stroke();
      }
    }
  }
  ctx.globalAlpha = 1;
}

function handlesOf([x1, y1, x2, y2]) {
  const xm = (x1 + x2) / 2, ym = (y1 + y2) / 2;
  return [[x1, y1, 'x1', 'y1'], [xm, y1, null, 'y1'], [x2, y1, 'x2', 'y1'], [x2, ym, 'x2', null],
    [x2, y2, 'x2', 'y2'], [xm, y2, null, 'y2'], [x1, y2, 'x1', 'y2'], [x1, ym, 'x1', null]];
}

function drawBox(ctx, at, box, label, { chosen = false, handles = false } = {}) {
  const [x1, y1] = at(box[0], box[1]), [x2, y2] = at(box[2], box[3]);
  ctx.lineJoin = 'round';
  ctx.setLineDash([]); ctx.strokeStyle = 'rgba(0,0,0,.55)'; ctx.lineWidth = chosen ? 4 : 3;
  ctx.strokeRect(x1, y1, x2 - x1, y2 - y1);
  ctx.setLineDash(chosen ? [] : [6, 4]); ctx.strokeStyle = BOX_COLOUR; ctx.lineWidth = chosen ? 2 : 1.5;
  ctx.strokeRect(x1, y1, x2 - x1, y2 - y1); ctx.setLineDash([]);
  if (label) {
    ctx.font = '600 13px system-ui, sans-serif';
    const width = ctx.measureText(label).width + 14, top = y1 >= 22 ? y1 - 22 : y1, room = ctx.canvas.clientWidth;
    const left = x2 > 0 && x1 < room ? Math.max(0, Math.min(room - width, x1 - 1)) : x1 - 1; // not past the picture's sides
    ctx.fillStyle = chosen ? '#fff' : 'rgba(0,0,0,.7)'; ctx.fillRect(left, top, width, 22);
    ctx.fillStyle = chosen ? '#111' : '#fff'; ctx.textBaseline = 'middle'; ctx.fillText(label, left + 7, top + 11.5);
  }
  if (handles) {
    for (const [x, y] of handlesOf([x1, y1, x2, y2])) {
      ctx.fillStyle = '#fff'; ctx.strokeStyle = '#000'; ctx.lineWidth = 1;
      ctx.fillRect(x - 5, y - 5, 10, 10); ctx.strokeRect(x - 5, y - 5, 10, 10);
    }
  }
}

// Transparent violet to yellow (after "plasma"): readable with every common colour blindness.
const STOPS = [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]];
const HEAT = Array.from({ length: 256 }, (_, i) => {
  const t = (i / 255) * 4, k = Math.min(3, Math.floor(t)), f = t - k;
  const mix = STOPS[k].map((value, c) => Math.round(value + (STOPS[k + 1][c] - value) * f));
  return [...mix, Math.round(255 * Math.min(0.82, i / 110))];
});

// A heatmap answer {w, h, data (base64 of uint8), affine (heatmap to video)} as a small picture.
function heatPicture(heat) {
  const bytes = Uint8Array.from(atob(heat.data), (c) => c.charCodeAt(0));
  const picture = document.createElement('canvas');
  picture.width = heat.w; picture.height = heat.h;
  const image = new ImageData(heat.w, heat.h);
  bytes.forEach((value, i) => image.data.set(HEAT[value], 4 * i));
  picture.getContext('2d').putImageData(image, 0, 0);
  return picture;
}

// Pixel centres lie at integers in heatmap and video, at halves on a canvas: shift there and back.
function drawHeat(ctx, view, ratio, picture, affine) {
  const [a, b, c, d, e, f] = affine; // x' = a x + b y + c,  y' = d x + e y + f
  const s = view.scale * ratio;
  ctx.save();
  ctx.setTransform(s, 0, 0, s, view.x * ratio, view.y * ratio);
  ctx.transform(a, d, b, e, c - (a + b) / 2 + 0.5, f - (d + e) / 2 + 0.5);
  ctx.imageSmoothingEnabled = true; ctx.imageSmoothingQuality = 'high'; ctx.globalAlpha = 0.85;
  ctx.drawImage(picture, 0, 0);
  ctx.restore();
}
