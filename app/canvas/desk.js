// The open project as the browser knows it. Edits wait in an outbox: one request is in flight at a
// time, each carries a number of its own, and is sent again until the server has answered. What is
// shown at once is only a guess; the poses that come back are the truth.

const REFUSALS = 4; // a busy file may refuse once

function createDesk(send, { onChange, onTrouble }) {
  const state = { project: null, revision: 0, undo: false, redo: false, marks: new Map(), waiting: 0, trouble: false };
  const waiting = [];
  const newest = {}; // number of the newest question of each kind
  let flying = false, number = 0, epoch = 0;
  const page = Math.random().toString(36).slice(2);

  const unsaved = () => waiting.filter((item) => item.fields.do !== 'look').length;
  const troubled = (trouble) => { if (state.trouble !== trouble) { state.trouble = trouble; onTrouble(trouble); } };
  const sent = (fields) => send({ ...fields, revision: state.revision });
  async function keep(fields) {
    const reply = await askUntilAnswered(() => sent(fields), undefined, () => troubled(true));
    troubled(false);
    return reply;
  }

  async function flush() {
    if (flying) return;
    flying = true;
    while (waiting.length) {
      const item = waiting[0], of = epoch;
      const reply = await keep(item.fields);
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
    // Ask something that changes nothing, until it is answered. A newer question of the kind, or another
    // project, makes this one void: its answer is null, whatever comes. A refusal is believed in the end.
    async ask(what, fields = {}, wanted = () => true) {
      const mine = newest[what] = (newest[what] ?? 0) + 1, of = epoch;
      const counts = () => mine === newest[what] && of === epoch && wanted();
      let refused = 0;
      const reply = await askUntilAnswered(async () => {
        const found = await sent({ ...fields, do: what });
        return found?.ok || (found && ++refused >= REFUSALS) ? found : null;
      }, counts);
      return counts() ? reply : null;
    },
    open(project) {
      epoch++;
      for (const item of waiting.splice(0)) item.resolve(null);
      Object.assign(state, { project, revision: 0, undo: false, redo: false, marks: new Map(), waiting: 0 });
    },
    get idle() { return !flying && !waiting.length; },
  };
}
