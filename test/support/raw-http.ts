import { connect } from 'node:net';

/** A server that has said something, then nothing more for so long, and does not close, waits for us. */
const QUIET_MILLISECONDS = 250;
/** So does one that has said nothing. Sooner to send no more would have it drop an answer that is on its way. */
const SILENT_MILLISECONDS = 5_000;

/** Sends bytes as they are, and no more after them, and resolves with all that comes back until the server closes. */
export async function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  let timer = setTimeout(() => socket.end(), SILENT_MILLISECONDS);
  socket.setEncoding('latin1').on('data', (data: string) => {
    text += data;
    clearTimeout(timer);
    timer = setTimeout(() => socket.end(), QUIET_MILLISECONDS);
  });
  // What it refuses it may close while we still send.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  socket.write(bytes);
  await closed;
  clearTimeout(timer);
  return text;
}

/** The status of each answer in what came back. */
export function statusesIn(text: string): number[] {
  return [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => Number(status));
}
