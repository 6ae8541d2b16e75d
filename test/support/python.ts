import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** POLYLORA_TEST_PYTHON names one that has the packages which some tests need; without them those are skipped. */
export const PYTHON = process.env.POLYLORA_TEST_PYTHON ?? 'python3';

const ROOT = join(import.meta.dirname, '..', '..');
/** What the scripts of the fixtures need; `gguf` reads the default model. */
const PEFT_PACKAGES = ['torch', 'transformers', 'peft', 'gguf'];

/** Looks for packages without running them: torch alone takes seconds. */
export function pythonHas(packages: readonly string[] = PEFT_PACKAGES): boolean {
  const code = 'import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))';
  try {
    execFileSync(PYTHON, ['-c', code, ...packages], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export const NEEDS_PEFT = 'needs `pip install torch transformers peft gguf`; see POLYLORA_TEST_PYTHON';

/** Runs a script of this repository, given by its path in it. Fails with what it wrote where it fails. */
export async function runPython(script: string, ...args: readonly string[]): Promise<void> {
  // All that it needs is on this machine, and looking for more would only take time.
  const env = { ...process.env, HF_HUB_OFFLINE: '1', PYTHONDONTWRITEBYTECODE: '1' };
  await promisify(execFile)(PYTHON, [join(ROOT, script), ...args], { env, maxBuffer: 1 << 26 });
}
