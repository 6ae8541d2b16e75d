let waiting: (() => void)[] = [];

/** Does what no answer need wait for, when those of this turn of the event loop are on their way. */
export function afterwards(work: () => void): void {
  if (waiting.push(work) === 1) setImmediate(doAll);
}

function doAll(): void {
  const works = waiting;
  waiting = [];
  for (const work of works) work();
}
