// The open project as the browser knows it. Edits wait in an outbox: one request is in flight at a
// time, each carries a number of its own, and is sent again until the server has answered. What is
// shown at once is only a guess; the poses that come back are the truth.

function createDesk(send, { onChange, onTrouble }) {
  const state = { project: null, revision: 0, undo: false, redo: false, marks: new Map(), waiting: 0, trouble: false };
  const waiting = [];
  let flying = false, number = 0, epoch = 0;
  const page = Math.random().toString(36).slice(2);

  const unsaved = () => waiting.filter((item) => item.fields.do !== 'look').length;
  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

  async function ask(fields, { patient }) {
    for (let wait = 400; ; wait = Math.min(5000, wait * 2)) {
      const reply = await Promise.resolve(send({ ...fields, revision: state.revision })).catch(() => null);
      if (reply) { if (state.trouble) { state.trouble = false; onTrouble(false); } return reply; }
      if (!patient) return null;
      if (!state.trouble) { state.trouble = true; onTrouble(true); }
      await pause(wait);
    }
  }

  async function flush() {
    if (flying) return;
    flying = true;
    while (waiting.length) {
      const item = waiting[0], of = epoch;
      const reply = await ask(item.fields, { patient: true });
      if (of !== epoch) { item.resolve(null); continue; }
      waiting.shift();
      absorb(reply);
      if (reply.stale || !reply.ok) for (const dropped of waiting.splice(0)) dropped.resolve(null);
      for (const later of waiting) later.guess?.();
      state.waiting = unsaved();
      onChange(reply);
      item.resolve(reply);
    }
    flying = false;
  }

  function absorb(reply) {
    if (reply.changes === undefined) return;
    state.revision = reply.revision;
    state.undo = reply.undo; state.redo = reply.redo;
  }

  return {
    state,
    // Do something that changes the project: it is kept until the server has it.
    post(what, fields = {}, guess = null) {
      guess?.();
      return new Promise((resolve) => {
        waiting.push({ fields: { ...fields, do: what, ident: `${page}-${++number}` }, guess, resolve });
        state.waiting = unsaved();
        if (what !== 'look') onChange(null);
        flush();
      });
    },
    // Ask something that changes nothing: no answer is an answer.
    ask: (what, fields = {}) => ask({ ...fields, do: what }, { patient: false }),
    open(project) {
      epoch++;
      for (const item of waiting.splice(0)) item.resolve(null);
      Object.assign(state, { project, revision: 0, undo: false, redo: false, marks: new Map(), waiting: 0 });
    },
    get idle() { return !flying && !waiting.length; },
  };
}
