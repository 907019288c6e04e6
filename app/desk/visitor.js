(example) => {
  // A secret of this browser's own names its projects; a tab finds the one it had open again.
  const name = 'diffpose-visitor';
  let key = null, project = null;
  try {
    key = localStorage.getItem(name);
    if (!key) localStorage.setItem(name, key = Array.from(crypto.getRandomValues(new Uint8Array(24)), (b) => b.toString(16).padStart(2, '0')).join(''));
    project = sessionStorage.getItem('diffpose-project') || null;
  } catch { /* no storage allowed: the projects last as long as the page */ }
  return [example, JSON.stringify({ key, project })];
}
