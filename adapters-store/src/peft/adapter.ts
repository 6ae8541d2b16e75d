import type { FileHandle } from 'node:fs/promises';
import { realpath } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  openSafetensors,
  readSafetensorsHeaderFrom,
  SafetensorsError,
  type SafetensorsHeader,
} from '@polylora/safetensors';
import { AdapterError, type AdapterErrorCode, type AdapterIssue } from '../errors.ts';
import { isAdapterName, NAME_RULE } from '../name.ts';
import type { AdaptedModule, Adapter, AdapterTask, BaseModelShape } from '../types.ts';
import { readContent } from './content.ts';
import { readSmallText, resolveInside, unreadable } from './files.ts';
import { type AdapterMethod, adaptedModule, kindOf, rankOf, scaleIssue } from './methods/index.ts';
import { parsePeftConfig } from './peft-config.ts';
import { resolveTargetModules, type TargetModule } from './targeting.ts';
import { TensorFinder } from './tensor-finder.ts';

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';
const PICKLE_FILES = ['bin', 'pt', 'pth', 'ckpt', 'pkl'].map((extension) => `adapter_model.${extension}`);
/** Room for three lists (target, rank and alpha) of each module of the largest models, about 900. */
export const MAX_CONFIG_BYTES = 256 << 10;
/** Room for both tensors of twice as many modules; the worst header of this length is refused within 100 ms. */
const MAX_HEADER_BYTES = 512 << 10;

/**
 * Reads one adapter in PEFT's format and checks all of it against a base model. Its name is the folder's.
 *
 * @throws AdapterError with everything that is wrong: with the configuration, or else with the tensors, or else with
 *   their values
 */
export async function readAdapter(directory: string, model: BaseModelShape): Promise<Adapter> {
  const absolute = resolve(directory);
  let root: string;
  try {
    root = await realpath(absolute);
  } catch (cause) {
    throw unreadable(absolute, cause);
  }
  return readAdapterInside(root, basename(absolute), root, model);
}

/**
 * As `readAdapter`, with a name of its own; no link may lead out of `root`, a real path.
 *
 * @param checkedDigest of the content, where these very files were checked before: their values are then not read
 */
export async function readAdapterInside(
  root: string,
  name: string,
  directory: string,
  model: BaseModelShape,
  checkedDigest: string | null = null,
): Promise<Adapter> {
  if (!isAdapterName(name)) {
    const message = `is not an adapter's name: ${NAME_RULE}`;
    throw new AdapterError('adapter_name_invalid', 'adapters', [{ where: JSON.stringify(name), message }]);
  }
  const configFile = await resolveInside(root, join(directory, CONFIG_FILE));
  if (configFile === null) {
    throw failure('adapter_config_missing', name, [{ where: CONFIG_FILE, message: 'is missing' }]);
  }
  const config = await readSmallText(configFile, MAX_CONFIG_BYTES);
  const plan = readPlan(config, name, model);
  const file = await findWeights(root, name, directory);
  const weights = await readWeights(file, name, plan, model, checkedDigest);
  return { name, kind: kindOf(plan.method), task: plan.task, config, ...weights };
}

/**
 * As `readAdapterInside`, for files whose content was checked when they came and that nobody else writes: finds where
 * the tensors are and does not look at their values.
 *
 * @throws AdapterError
 */
export async function readCheckedAdapter(
  { name, config, file, digest }: CheckedAdapter,
  model: BaseModelShape,
): Promise<Adapter> {
  const plan = readPlan(config, name, model);
  const weights = await readWeights(file, name, plan, model, digest);
  return { name, kind: kindOf(plan.method), task: plan.task, config, ...weights };
}

export interface CheckedAdapter {
  readonly name: string;
  /** The text of adapter_config.json. */
  readonly config: string;
  readonly file: string;
  readonly digest: string;
}

/**
 * Checks the text of an adapter_config.json against a base model.
 * @returns the largest rank of a module
 * @throws AdapterError with everything that is wrong with it
 */
export function checkConfig(config: string, name: string, model: BaseModelShape): number {
  const { method, targets } = readPlan(config, name, model);
  return Math.max(...targets.map((target) => rankOf(method, target)));
}

/** What a configuration does, and to which modules. */
interface AdapterPlan {
  readonly method: AdapterMethod;
  readonly task: AdapterTask;
  readonly targets: readonly TargetModule[];
}

function readPlan(config: string, name: string, model: BaseModelShape): AdapterPlan {
  const parsed = parsePeftConfig(config);
  if ('issues' in parsed) throw failure('adapter_config_invalid', name, parsed.issues);
  const { targeting, method, task } = parsed.config;
  const { targets, issues } = resolveTargetModules(targeting, model);
  const scale = scaleIssue(method, targets);
  const all = scale === null ? issues : [...issues, scale];
  if (all.length > 0) throw failure('adapter_config_invalid', name, all);
  return { method, task, targets };
}

/** The modules in the order of the plan, and all that is wrong with their tensors. */
function findModules(header: SafetensorsHeader, { method, targets }: AdapterPlan, model: BaseModelShape) {
  const finder = new TensorFinder(header);
  const modules = targets.flatMap((target) => adaptedModule(method, target, model, finder) ?? []);
  const issues = finder.issues(header, {
    method: method.kind,
    targeted: new Set(targets.map(({ name }) => name)),
    layerCount: model.layerCount,
  });
  return { modules, issues };
}

async function findWeights(root: string, name: string, directory: string): Promise<string> {
  const file = await resolveInside(root, join(directory, WEIGHTS_FILE));
  if (file !== null) return file;
  for (const pickle of PICKLE_FILES) {
    if ((await resolveInside(root, join(directory, pickle))) === null) continue;
    const message =
      'is a pickle file, which can run code when it is read, so it is never loaded; save the adapter again with ' +
      `PEFT's save_pretrained(…, safe_serialization=True), which writes ${WEIGHTS_FILE}`;
    throw failure('pickle_refused', name, [{ where: pickle, message }]);
  }
  throw failure('adapter_weights_missing', name, [{ where: WEIGHTS_FILE, message: 'is missing' }]);
}

async function readWeights(
  file: string,
  name: string,
  plan: AdapterPlan,
  model: BaseModelShape,
  checkedDigest: string | null,
): Promise<Omit<Adapter, 'name' | 'kind' | 'task' | 'config'>> {
  let handle: FileHandle | undefined;
  try {
    handle = await openSafetensors(file);
    // Before reading: a file that is written while it is read is then seen to have changed.
    const { size, mtimeMs } = await handle.stat();
    const header = await readSafetensorsHeaderFrom(handle, file, { maxHeaderBytes: MAX_HEADER_BYTES });
    const { modules, issues } = findModules(header, plan, model);
    if (issues.length > 0) throw failure('adapter_tensors_invalid', name, issues);
    return {
      digest: checkedDigest ?? (await checkedContent(handle, file, name, header, modules)),
      createdAt: Math.floor(mtimeMs / 1000),
      files: [{ path: file, bytes: size, modifiedMs: mtimeMs }],
      modules,
    };
  } catch (error) {
    if (error instanceof AdapterError) throw error;
    if (error instanceof SafetensorsError) {
      const issue = { where: error.tensor ?? WEIGHTS_FILE, message: error.problem };
      throw new AdapterError(error.code, `adapter ${name}`, [issue], { cause: error });
    }
    throw unreadable(file, error);
  } finally {
    await handle?.close();
  }
}

async function checkedContent(
  handle: FileHandle,
  file: string,
  name: string,
  header: SafetensorsHeader,
  modules: readonly AdaptedModule[],
): Promise<string> {
  const names = new Map([...header.tensors.values()].map(({ begin, name }) => [begin, name]));
  const { digest, issues } = await readContent(
    handle,
    file,
    modules,
    (begin) => names.get(begin) ?? WEIGHTS_FILE,
  );
  if (issues.length > 0) throw failure('adapter_values_invalid', name, issues);
  return digest;
}

function failure(code: AdapterErrorCode, name: string, issues: readonly AdapterIssue[]): AdapterError {
  return new AdapterError(code, `adapter ${name}`, issues);
}
