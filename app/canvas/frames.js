// Frames of one clip: JPEG files fetched ahead of the playhead, kept as Blobs, decoded on demand.

const AHEAD = 240, BEHIND = 60, KEEP = 900, FETCHERS = 6, BITMAPS = 12;

function createFrameStore(url, count, onFetched) {
  const blobs = new Map(), pending = new Map(), bitmaps = new Map();
  let ready = 0, centre = 0, busy = 0, closed = false;

  const address = (index) => `${url}${String(index).padStart(6, '0')}.jpg`;

  function fetchBlob(index) {
    if (blobs.has(index)) return Promise.resolve(blobs.get(index));
    if (pending.has(index)) return pending.get(index);
    const job = fetch(address(index)).then((response) => {
      if (!response.ok) throw new Error(`frame ${index}: ${response.status}`);
      return response.blob();
    }).then((blob) => { blobs.set(index, blob); evict(); onFetched(); return blob; })
      .finally(() => pending.delete(index));
    pending.set(index, job);
    return job;
  }

  function evict() {
    if (blobs.size <= KEEP) return;
    const far = [...blobs.keys()].sort((a, b) => Math.abs(b - centre) - Math.abs(a - centre));
    for (const index of far.slice(0, blobs.size - KEEP)) blobs.delete(index);
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
      fetchBlob(index).catch(() => {}).finally(() => { busy--; prefetch(); });
    }
  }

  return {
    count,
    has: (index) => blobs.has(index) || bitmaps.has(index),
    setReady(value) { ready = Math.min(count, value); prefetch(); },
    setCentre(index) { centre = index; prefetch(); },
    fetchedFraction: () => (count ? blobs.size / Math.min(count, KEEP) : 0),
    async bitmap(index) {
      if (bitmaps.has(index)) return bitmaps.get(index);
      const picture = await createImageBitmap(await fetchBlob(index));
      bitmaps.set(index, picture);
      for (const old of [...bitmaps.keys()].slice(0, Math.max(0, bitmaps.size - BITMAPS))) {
        bitmaps.get(old).close();
        bitmaps.delete(old);
      }
      return picture;
    },
    close() {
      closed = true;
      for (const picture of bitmaps.values()) picture.close();
      bitmaps.clear(); blobs.clear();
    },
  };
}
