/** What a gateway keeps for a time, while the machine's clock is wrong. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SteadyClock } from '../../gateway/src/steady-clock.ts';
import { OPERATOR_KEY, openApp } from '../support/app.ts';
import { writeRandomAdapter } from '../support/random-adapter.ts';
import { MODEL } from '../support/store-model.ts';

const DAY = 86_400_000;

it('versions that no tag stands for stay as long as they should when the clock jumps', async () => {
  const time = { wall: 1_800_000_000_000, steady: 0.5 };
  const clock = new SteadyClock(
    () => time.wall,
    () => time.steady,
  );
  const gateway = await openApp({ clock });
  const folder = await mkdtemp(join(tmpdir(), 'polylora-clock-'));
  try {
    const push = async (seed: number) => {
      await writeRandomAdapter(folder, MODEL, { rank: 2, seed });
      const form = new FormData();
      form.set('name', 'acme/a');
      for (const [part, file] of [
        ['config', 'adapter_config.json'],
        ['weights', 'adapter_model.safetensors'],
      ] as const)
        form.set(part, new Blob([await readFile(join(folder, file))]), file);
      const { status, json } = await gateway.ask(OPERATOR_KEY, 'POST', '/admin/v1/adapters', form);
      expect(status).toBe(201);
      return json.digest;
    };
    const first = await push(1);
    await push(2);
    time.wall += DAY;
    expect(await gateway.store.store.collect()).toEqual([]);
    time.wall -= DAY;
    time.wall += 61_000;
    time.steady += 61_000;
    expect(await gateway.store.store.collect()).toEqual([first]);
  } finally {
    await gateway.close();
    await rm(folder, { recursive: true });
  }
});
