// The picture and everything over it, painted at most once a screen refresh. The picture is drawn
// again only when the frame or the view has changed: a drag repaints what lies over it.

function paintSoon() { if (!redraw) redraw = requestAnimationFrame(() => { redraw = 0; paint(); }); }

function paint() {
  const ratio = window.devicePixelRatio || 1, width = stage.clientWidth, height = stage.clientHeight;
  for (const canvas of [pictureCanvas, overlayCanvas]) {
    if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); stalePicture = true; }
    if (canvas.height !== Math.round(height * ratio)) { canvas.height = Math.round(height * ratio); stalePicture = true; }
  }
  if (stalePicture) paintPicture(ratio);
  overlayCtx.setTransform(ratio, 0, 0, ratio, 0, 0); overlayCtx.clearRect(0, 0, width, height);
  if (!S.clip || S.shown < 0) return;
  paintOverlay(ratio);
  if (E.on) paintEditing();
  showBadge();
}

function paintPicture(ratio) {
  stalePicture = false;
  pictureCtx.setTransform(1, 0, 0, 1, 0, 0);
  pictureCtx.fillStyle = '#101214'; pictureCtx.fillRect(0, 0, pictureCanvas.width, pictureCanvas.height);
  if (!S.clip || S.shown < 0) return;
  const scale = S.view.scale * ratio;
  pictureCtx.imageSmoothingEnabled = S.view.scale < 4;
  pictureCtx.drawImage(S.picture, S.view.x * ratio, S.view.y * ratio, S.clip.width * scale, S.clip.height * scale);
}

function paintOverlay(ratio) {
  const answer = liveAnswer(), pose = currentPose(), ctx = overlayCtx, has = (layer) => S.layers.has(layer);
  const heat = heatHere();
  if (heat && has('Heatmap')) drawHeat(ctx, S.view, ratio, heat.picture, heat.affine);
  for (const track of S.tracks) {
    const box = track.at.get(S.frame), chosen = track.id === S.person;
    if (box && (has('Boxes') || S.boxMode) && !(E.on && chosen && !S.boxMode)) drawBox(ctx, at, chosen && draft?.track === track.id ? draft.box : box, `Person ${track.id + 1}`, { chosen, handles: chosen && S.boxMode });
  }
  if (draft && draft.track === null) drawBox(ctx, at, draft.box, 'New person', { chosen: true });
  if (answer?.ghosts && has('Hypotheses')) drawGhosts(ctx, at, S.skeleton, answer.ghosts);
  for (const [id, held] of S.poses) {
    const other = held.byFrame.get(S.frame);
    if (id !== S.person && other && has('Skeleton')) drawSkeleton(ctx, at, S.skeleton, other, { alpha: 0.55, width: 2 });
  }
  if (has('Trails') && S.person !== null) drawTrail(ctx, at, S.poses.get(S.person)?.byFrame ?? new Map(), (frame) => marksAt(frame)?.marks, S.frame, S.joint);
  if (pose && has('Uncertainty') && !suggestedPose()) drawEllipses(ctx, at, S.view.scale, S.skeleton, pose, S.joint);
  if (pose && (has('Skeleton') || E.on)) {
    drawSkeleton(ctx, at, S.skeleton, pose);
    if (!E.on) { drawKeypoints(ctx, at, S.skeleton, pose, S.joint); drawMarked(ctx, at, S.skeleton, pose, marksAt(S.frame)?.marks, { chosen: S.joint, hover: -1, large: false }); }
  }
  const truth = has('True pose') && S.truth?.[S.frame];
  if (truth) for (const person of truth) drawTruth(ctx, at, S.skeleton, person);
}

function paintEditing() {
  const pose = editedPose(), ctx = overlayCtx, { skeleton } = S;
  if (!pose) return;
  const suggested = suggestedPose(), old = suggested && storedPose();
  if (old) drawOld(ctx, at, skeleton, old);
  alternativesHere().forEach((alternative, number) => drawAlternative(ctx, at, skeleton, pose, alternative, number + 1, number === E.lit));
  const handle = bodyHandleOf(at, pose, stage.clientHeight);
  if (handle) drawBodyHandle(ctx, handle, E.body || E.draft?.body);
  drawMarked(ctx, at, skeleton, pose, marksAt(S.frame)?.marks, { chosen: S.joint, hover: E.hover, large: true });
  const span = spanOf(pose);
  drawNames(ctx, at, skeleton, pose, { chosen: S.joint, hover: E.hover, all: E.names && (span[3] - span[1]) * S.view.scale > 300 });
}

function showBadge() {
  const badge = $('.dp-badge'), answer = E.on || isCorrected(S.frame) ? null : liveAnswer(), stored = storedPose(), made = S.made[S.person];
  const settings = answer ? [answer.steps, answer.hypotheses] : stored && made ? [made.steps, made.hypotheses] : null;
  const held = marksAt(S.frame);
  badge.hidden = !settings && !E.on;
  if (E.on || isCorrected(S.frame) || held?.confirmed) {
    const placed = held?.marks.filter((mark) => mark & (MARK.corrected | MARK.outside)).length ?? 0;
    badge.textContent = [E.on ? `Frame ${S.frame + 1}` : '', suggestedPose() ? 'suggestion' : '', placed ? `${placed} corrected` : '', held?.confirmed ? 'confirmed \u2713' : ''].filter(Boolean).join(' \u00b7 ');
  } else if (settings) {
    const [steps, samples] = settings, parts = [`${steps} ${steps === 1 ? 'step' : 'steps'} \u00d7 ${samples} ${samples === 1 ? 'sample' : 'samples'}`];
    if (answer) parts.push(`live, ${Math.round(answer.waited)} ms`);
    if (answer?.explanations) parts.push(answer.explanations);
    badge.textContent = parts.join(' \u00b7 ');
  }
}
