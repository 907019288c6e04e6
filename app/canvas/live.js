// The current frame, sampled again with the sliders' settings. One request is in flight at a time;
// an answer counts only if it carries the sequence number of the wish that is still the newest.

function createLive(resample, { onAnswer, onMiss }) {
  let sequence = 0, epoch = 0, desired = null, flying = null, answer = null, timer = 0, missed = false;

  const keyOf = (w) => [w.clip, w.boxes, w.track, w.frame, w.steps, w.hypotheses, w.keypoint].join('/');

  async function send() {
    if (flying || !desired || answer?.key === desired.key) return;
    const sent = flying = { ...desired, sequence: ++sequence };
    const started = performance.now(), of = epoch, wanted = () => of === epoch && desired?.key === sent.key;
    const reply = await askUntilAnswered(() => resample(sent), wanted, () => { missed = true; onMiss(true); });
    flying = null;
    if (reply && missed) { missed = false; onMiss(false); }
    if (wanted() && reply?.sequence === sent.sequence) {
      answer = { ...reply, key: sent.key, waited: performance.now() - started };
      onAnswer(answer);
    }
    send();
  }

  return {
    // Want the pose of {session, clip, boxes, track, frame, steps, hypotheses, keypoint}, or nothing.
    // While frames rush by nobody looks at their heatmaps: a new frame must stand for a moment.
    ask(next) {
      const rushing = next && desired && next.frame !== desired.frame;
      clearTimeout(timer);
      desired = next && { ...next, key: keyOf(next) };
      if (desired) timer = setTimeout(send, rushing ? 90 : 15);
    },
    answerFor: (track, frame, steps, hypotheses) => (answer?.ok && answer.track === track
      && answer.frame === frame && answer.steps === steps && answer.hypotheses === hypotheses ? answer : null),
    forget() { answer = null; desired = null; epoch++; }, // also what is on its way
    get idle() { return !flying && (!desired || answer?.key === desired.key); },
    get answer() { return answer; },
  };
}
