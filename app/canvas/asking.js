// Everything that the page needs is asked again until there is an answer or nobody needs it any more.

const FIRST_WAIT = 400, MOST_WAIT = 3000, LOOK = 100;
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// `attempt` gives an answer, or nothing if it failed; `onMiss` hears of every failure. Null once `wanted` says no.
async function askUntilAnswered(attempt, wanted = () => true, onMiss = () => {}) {
  for (let wait = FIRST_WAIT; ; wait = Math.min(MOST_WAIT, 2 * wait)) {
    const answer = await Promise.resolve().then(attempt).catch(() => null);
    if (answer) return answer;
    if (!wanted()) return null;
    onMiss();
    for (const until = performance.now() + wait; wanted() && performance.now() < until;) await pause(LOOK);
    if (!wanted()) return null;
  }
}

// A file's content, by the name of a method of Response; what the server refuses is an error.
async function fetchFile(url, signal, content = 'json') {
  const passes = (status) => status >= 500 || status === 408 || status === 429;
  const found = await askUntilAnswered(async () => {
    const response = await fetch(url, { signal });
    if (response.ok) return { content: await response[content]() };
    return passes(response.status) ? null : { refused: response.status };
  }, () => !signal?.aborted);
  signal?.throwIfAborted();
  if (found.refused) throw new Error(`${url}: ${found.refused}`);
  return found.content;
}
