// The crosshair that all time charts share: one moment, many charts.

const watchers = new Set();
let time = null;

export function watchCursor(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function moveCursor(to) {
  if (to === time) return;
  time = to;
  for (const watcher of watchers) watcher(time);
}
