import { expect, test } from 'vitest';
import type { ChoiceEvent } from '../generation.ts';
import type { Client } from '../http/client.ts';
import { Flight } from './flight.ts';

class Person implements Client {
  hasLeft = false;
  readonly #listeners = new Set<() => void>();

  onLeave(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  leave(): void {
    this.hasLeft = true;
    for (const listener of this.#listeners) listener();
  }
}

function says(text: string): ChoiceEvent {
  return { choice: 0, event: { type: 'delta', text, tokens: 1, logprobs: null } };
}

async function textOf(events: AsyncIterable<ChoiceEvent>): Promise<string> {
  let text = '';
  for await (const { event } of events) if (event.type === 'delta') text += event.text;
  return text;
}

test('everybody has all of it, whenever they come', async () => {
  const flight = new Flight();
  const early = textOf(flight.events());
  flight.push(says('a'));
  await flight.begun();
  const later = textOf(flight.events());
  flight.push(says('b'));
  flight.finish();
  expect(await early).toBe('ab');
  expect(await later).toBe('ab');
  expect(await textOf(flight.events())).toBe('ab');
});

test('a failure before the answer begins is told at once, one after it in its place', async () => {
  const broken = new Flight();
  const begun = broken.begun();
  broken.fail(new Error('refused'));
  await expect(begun).rejects.toThrow('refused');
  const flight = new Flight();
  flight.push(says('a'));
  flight.fail(new Error('cut'));
  await flight.begun();
  const events = flight.events();
  expect((await events.next()).value).toEqual(says('a'));
  await expect(events.next()).rejects.toThrow('cut');
});

test('it goes on until the last who waits has left', () => {
  const flight = new Flight();
  const [first, second] = [new Person(), new Person()];
  let left = 0;
  flight.client.onLeave(() => {
    left += 1;
  });
  flight.join(first);
  flight.join(second);
  first.leave();
  expect(flight.isAbandoned).toBe(false);
  second.leave();
  expect(left).toBe(1);
  expect(flight.isAbandoned).toBe(true);
});

test('who has the answer waits no more, and who comes when they have left is not there', () => {
  const flight = new Flight();
  const first = new Person();
  const leave = flight.join(new Person());
  flight.join(first);
  leave();
  leave();
  expect(flight.isAbandoned).toBe(false);
  const gone = new Person();
  gone.leave();
  flight.join(gone);
  expect(flight.isAbandoned).toBe(false);
  first.leave();
  expect(flight.isAbandoned).toBe(true);
});
