// What editing draws over the picture, in screen pixels: `at` carries video to screen.
// Shapes carry the meaning, colours only repeat it: a diamond was placed by hand, a dashed ring is
// occluded, a dashed skeleton is not yet so.

const MARK = { corrected: 1, occluded: 2, outside: 4, suggested: 8 };
const PLACED = '#F0E442', TRAIL = '#F0E442', GHOST = '#FFFFFF', TRAIL_FRAMES = 20;

function diamond(ctx, x, y, size) {
  ctx.beginPath(); ctx.moveTo(x, y - size); ctx.lineTo(x + size, y); ctx.lineTo(x, y + size); ctx.lineTo(x - size, y); ctx.closePath();
}

function drawMarked(ctx, at, skeleton, pose, marks, { chosen, hover, large }) {
  pose.forEach((row, k) => {
    if (!row) return;
    const [x, y] = at(row[0], row[1]), mark = marks?.[k] ?? 0, picked = k === chosen, size = (large ? 6 : 4) + (picked ? 2 : 0);
    const occluded = mark & MARK.occluded, placed = mark & MARK.corrected;
    if (!large && !mark) return;
    if (placed) diamond(ctx, x, y, size + 2); else { ctx.beginPath(); ctx.arc(x, y, size, 0, 2 * Math.PI); }
    ctx.fillStyle = occluded ? 'rgba(0,0,0,.6)' : placed ? PLACED : skeleton.colours[k];
    ctx.strokeStyle = '#000'; ctx.lineWidth = occluded ? 4 : 3; ctx.stroke();
    ctx.fill();
    ctx.setLineDash(occluded ? [3, 2.5] : []);
    ctx.strokeStyle = occluded ? (placed ? PLACED : skeleton.colours[k]) : '#fff'; ctx.lineWidth = picked || occluded ? 2.25 : 1.25; ctx.stroke();
    ctx.setLineDash([]);
    if (picked || k === hover) {
      ctx.beginPath(); ctx.arc(x, y, size + 6, 0, 2 * Math.PI);
      ctx.strokeStyle = 'rgba(0,0,0,.65)'; ctx.lineWidth = 3.5; ctx.stroke();
      ctx.strokeStyle = '#fff'; ctx.lineWidth = 1.75; ctx.stroke();
    }
  });
}

// Names next to their keypoints; one that would cover another, or a keypoint, is left out, never the chosen.
function drawNames(ctx, at, skeleton, pose, { chosen, hover, all }) {
  ctx.font = '600 12px system-ui, sans-serif'; ctx.textBaseline = 'middle';
  const taken = [];
  pose.forEach((row) => { if (row) { const [x, y] = at(row[0], row[1]); taken.push([x - 7, y - 7, x + 7, y + 7]); } });
  const order = [...pose.keys()].sort((a, b) => (b === chosen) - (a === chosen) || (b === hover) - (a === hover));
  for (const k of order) {
    const row = pose[k];
    if (!row || (!all && k !== chosen && k !== hover)) continue;
    const [x, y] = at(row[0], row[1]), text = words(skeleton.keypoints[k]), width = ctx.measureText(text).width + 10;
    const must = k === chosen || k === hover;
    const places = [[x + 13, y - 9], [x - 13 - width, y - 9], [x - width / 2, y - 30], [x - width / 2, y + 13]];
    const room = ctx.canvas.clientWidth;
    if (x < 0 || x > room) continue;
    for (const place of places) place[0] = Math.max(2, Math.min(room - width - 2, place[0])); // not past the picture's sides
    const free = places.find(([left, top]) => !taken.some(([x1, y1, x2, y2]) => left < x2 && left + width > x1 && top < y2 && top + 18 > y1));
    if (!free && !must) continue;
    const [left, top] = free ?? places[0];
    taken.push([left, top, left + width, top + 18]);
    ctx.fillStyle = must ? '#fff' : 'rgba(12,14,16,.72)'; ctx.beginPath(); ctx.roundRect(left, top, width, 18, 4); ctx.fill();
    ctx.fillStyle = must ? '#111' : '#fff'; ctx.fillText(text, left + 5, top + 9.5);
  }
}

// Where the keypoint comes from (thin) and where it goes (thinner), with what was placed by hand.
function drawTrail(ctx, at, byFrame, marksOf, frame, joint) {
  ctx.lineCap = 'round';
  let before = null;
  for (let f = frame - TRAIL_FRAMES; f <= frame + TRAIL_FRAMES; f++) {
    const row = byFrame.get(f)?.[joint];
    if (!row) { before = null; continue; }
    const here = at(row[0], row[1]);
    if (before) {
      ctx.globalAlpha = 0.15 + 0.75 * (1 - Math.abs(f - frame) / (TRAIL_FRAMES + 1));
      for (const [style, width] of [['rgba(0,0,0,.7)', 4], [TRAIL, f <= frame ? 2.25 : 1.25]]) {
        ctx.strokeStyle = style; ctx.lineWidth = width;
        ctx.beginPath(); ctx.moveTo(...before); ctx.lineTo(...here); ctx.stroke();
      }
    }
    if (f !== frame && (marksOf(f)?.[joint] ?? 0) & MARK.corrected) {
      ctx.globalAlpha = 0.9; diamond(ctx, ...here, 4); ctx.fillStyle = PLACED; ctx.strokeStyle = '#000'; ctx.lineWidth = 1; ctx.fill(); ctx.stroke();
    }
    before = here;
  }
  ctx.globalAlpha = 1;
}

function strokeLimbs(ctx, at, skeleton, pose) {
  ctx.beginPath();
  for (const [a, b] of skeleton.edges) {
    if (!pose[a] || !pose[b]) continue;
    ctx.moveTo(...at(pose[a][0], pose[a][1])); ctx.lineTo(...at(pose[b][0], pose[b][1]));
  }
  ctx.stroke();
}

// The pose as it stands, while a suggestion is shown next to it.
function drawOld(ctx, at, skeleton, pose) {
  ctx.lineCap = 'round'; ctx.setLineDash([2, 6]);
  ctx.strokeStyle = '#000'; ctx.lineWidth = 4; strokeLimbs(ctx, at, skeleton, pose);
  ctx.strokeStyle = '#fff'; ctx.lineWidth = 2.5; strokeLimbs(ctx, at, skeleton, pose);
  ctx.setLineDash([]);
}

// Another pose the model thinks possible: only the limbs it would move, with its number.
function drawAlternative(ctx, at, skeleton, pose, alternative, number, lit) {
  const moved = new Set(alternative.keypoints);
  ctx.lineCap = 'round'; ctx.setLineDash(lit ? [] : [7, 5]);
  for (const [style, width] of [['rgba(0,0,0,.75)', lit ? 6 : 4.5], [GHOST, lit ? 3.5 : 2]]) {
    ctx.strokeStyle = style; ctx.lineWidth = width; ctx.globalAlpha = lit ? 1 : 0.85;
    ctx.beginPath();
    for (const [a, b] of skeleton.edges) {
      if (!moved.has(a) && !moved.has(b)) continue;
      const from = alternative.pose[a] ?? pose[a], to = alternative.pose[b] ?? pose[b];
      if (from && to) { ctx.moveTo(...at(from[0], from[1])); ctx.lineTo(...at(to[0], to[1])); }
    }
    ctx.stroke();
  }
  ctx.setLineDash([]); ctx.globalAlpha = 1;
  const spot = alternativeSpot(pose, alternative);
  if (!spot) return;
  const [x, y] = at(...spot);
  ctx.beginPath(); ctx.arc(x, y, 11, 0, 2 * Math.PI);
  ctx.fillStyle = lit ? '#fff' : 'rgba(12,14,16,.85)'; ctx.fill();
  ctx.strokeStyle = '#fff'; ctx.lineWidth = 1.75; ctx.stroke();
  ctx.font = '700 13px system-ui, sans-serif'; ctx.textAlign = 'center'; ctx.textBaseline = 'middle';
  ctx.fillStyle = lit ? '#111' : '#fff'; ctx.fillText(String(number), x, y + 0.5); ctx.textAlign = 'start';
}

// The keypoint that an alternative moves farthest: where its number stands.
function alternativeSpot(pose, alternative) {
  let best = null, most = -1;
  for (const k of alternative.keypoints) {
    const to = alternative.pose[k], from = pose?.[k];
    const far = to ? (from ? Math.hypot(to[0] - from[0], to[1] - from[1]) : 0) : -1;
    if (far > most) { most = far; best = to; }
  }
  return best;
}

// The one handle that moves the whole body: above it, apart from every keypoint.
function bodyHandleOf(at, pose, height) {
  const points = pose.filter(Boolean).map((row) => at(row[0], row[1]));
  if (!points.length) return null;
  const xs = points.map(([x]) => x), top = Math.min(...points.map(([, y]) => y));
  return [(Math.min(...xs) + Math.max(...xs)) / 2, Math.max(20, Math.min(height - 20, top - 34))];
}

function drawBodyHandle(ctx, [x, y], lit) {
  ctx.beginPath(); ctx.arc(x, y, 14, 0, 2 * Math.PI);
  ctx.fillStyle = lit ? '#fff' : 'rgba(12,14,16,.8)'; ctx.fill(); ctx.strokeStyle = '#fff'; ctx.lineWidth = 1.75; ctx.stroke();
  ctx.strokeStyle = lit ? '#111' : '#fff'; ctx.lineWidth = 1.75; ctx.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    ctx.moveTo(x, y); ctx.lineTo(x + 8 * dx, y + 8 * dy);
    ctx.moveTo(x + 5 * dx + 2.5 * dy, y + 5 * dy + 2.5 * dx); ctx.lineTo(x + 8 * dx, y + 8 * dy); ctx.lineTo(x + 5 * dx - 2.5 * dy, y + 5 * dy - 2.5 * dx);
  }
  ctx.stroke();
}
