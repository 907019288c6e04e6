// Frames of one clip: JPEG files fetched ahead of the playhead, kept as Blobs, decoded a little
// ahead of it too, so that holding an arrow key shows every frame.

const AHEAD = 240, BEHIND = 60, KEEP = 900, FETCHERS = 6, BITMAPS = 24, DECODE_AHEAD = 8;

function createFrameStore(url, count, onFetched) {
  const leaving = new AbortController();
  const blobs = new Map(), pending = new Map(), bitmaps = new Map(), decoding = new Map();
  let ready = 0, centre = 0, busy = 0, closed = false, shown = -1, direction = 1;

  const address = (index) => `${url}${String(index).padStart(6, '0')}.jpg`;

  function fetchBlob(index) {
    if (blobs.has(index)) return Promise.resolve(blobs.get(index));
    if (pending.has(index)) return pending.get(index);
    const job = fetch(address(index), { signal: leaving.signal }).then((response) => {
      if (!response.ok) throw new Error(`frame ${index}: ${response.status}`);
      return response.blob();
    }).then((blob) => { blobs.set(index, blob); evict(); onFetched(); return blob; })
      .finally(() => pending.delete(index));
    pending.set(index, job);
    return job;
  }

  const farFirst = (indices) => [...indices].sort((a, b) => Math.abs(b - centre) - Math.abs(a - centre));

  function evict() {
    if (blobs.size <= KEEP) return;
    for (const index of farFirst(blobs.keys()).slice(0, blobs.size - KEEP)) blobs.delete(index);
  }

  function nextMissing() {
    const missing = (index) => index >= 0 && index < ready && !blobs.has(index) && !pending.has(index);
    for (let d = 0; d <= AHEAD; d++) {
      if (missing(centre + d)) return centre + d;
      if (d && d <= BEHIND && missing(centre - d)) return centre - d;
    }
    return -1;
  }

  function prefetch() {
    while (!closed && busy < FETCHERS) {
      const index = nextMissing();
      if (index < 0) return;
      busy++;
      fetchBlob(index).catch(() => pause(MOST_WAIT)).finally(() => { busy--; prefetch(); });
    }
  }

  function decode(index) {
    if (bitmaps.has(index)) return Promise.resolve(bitmaps.get(index));
    if (decoding.has(index)) return decoding.get(index);
    const job = fetchBlob(index).then((blob) => createImageBitmap(blob)).then((picture) => {
      if (closed) { picture.close(); throw new Error('closed'); }
      bitmaps.set(index, picture);
      // The picture on the screen may be needed for a repaint: it is never closed.
      const far = farFirst(bitmaps.keys()).filter((i) => i !== shown && i !== index);
      for (const old of far.slice(0, Math.max(0, bitmaps.size - BITMAPS))) { bitmaps.get(old).close(); bitmaps.delete(old); }
      return picture;
    }).finally(() => decoding.delete(index));
    decoding.set(index, job);
    return job;
  }

  function decodeAhead() {
    for (let d = 1; d <= DECODE_AHEAD && decoding.size < 3; d++) {
      const index = centre + d * direction;
      if (blobs.has(index) && !bitmaps.has(index)) decode(index).catch(() => {});
    }
  }

  return {
    count,
    has: (index) => blobs.has(index) || bitmaps.has(index),
    setReady(value) { ready = Math.min(count, value); prefetch(); },
    setCentre(index) {
      if (index !== centre) direction = index > centre ? 1 : -1;
      centre = index; prefetch();
    },
    setShown(index) { shown = index; decodeAhead(); },
    fetchedFraction: () => (count ? blobs.size / Math.min(count, KEEP) : 0),
    bitmap: decode,
    close() {
      closed = true; leaving.abort();
      for (const picture of bitmaps.values()) picture.close();
      bitmaps.clear(); blobs.clear();
    },
  };
}
