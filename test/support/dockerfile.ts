import { readFileSync } from 'node:fs';
import {
  type Copy,
  DockerfileParser,
  type Env,
  type From,
  type Instruction,
  type JSONInstruction,
} from 'dockerfile-ast';

/** One instruction that changes a stage's files. */
export type Step =
  | {
      readonly kind: 'copy';
      /** The stage or image whose files they are; null: the build's context. */
      readonly from: string | null;
      readonly sources: readonly string[];
      readonly target: string;
      readonly workdir: string;
    }
  | {
      readonly kind: 'run';
      readonly words: readonly string[];
      /** Folders that builds share. */
      readonly caches: readonly string[];
      readonly workdir: string;
    };

export interface Stage {
  readonly name: string | null;
  /** With its tag, and with the values of the arguments in it. */
  readonly image: string;
  readonly steps: readonly Step[];
  /** As they are written: values may have `$PATH` in them. */
  readonly environment: ReadonlyMap<string, string>;
  readonly workdir: string;
  readonly user: string | null;
  readonly volumes: readonly string[];
  readonly command: readonly string[] | null;
  readonly healthcheck: readonly string[] | null;
  readonly stopSignal: string | null;
}

/**
 * The stages of a Dockerfile, in their order.
 * @throws where it has an instruction that this does not know: it would be passed over
 */
export function readDockerfile(file: string): Stage[] {
  const dockerfile = DockerfileParser.parse(readFileSync(file, 'utf8'));
  const given = new Map(dockerfile.getInitialARGs().map((arg) => pair(arg.getProperty())));
  const stages: StageBuilder[] = [];
  for (const instruction of dockerfile.getInstructions()) {
    const keyword = instruction.getKeyword();
    if (keyword === 'FROM') stages.push(new StageBuilder(instruction as From, given));
    else stages.at(-1)?.add(instruction);
  }
  return stages;
}

class StageBuilder implements Stage {
  readonly name: string | null;
  readonly image: string;
  readonly steps: Step[] = [];
  readonly environment = new Map<string, string>();
  readonly volumes: string[] = [];
  workdir = '/';
  user: string | null = null;
  command: string[] | null = null;
  healthcheck: string[] | null = null;
  stopSignal: string | null = null;

  constructor(from: From, given: ReadonlyMap<string, string>) {
    this.name = from.getBuildStage();
    this.image = (from.getImage() ?? '').replace(/\$\{(\w+)\}/g, (_, name: string) => given.get(name) ?? '');
  }

  add(instruction: Instruction): void {
    const words = instruction.getArguments().map((argument) => argument.getValue());
    const [first = ''] = words;
    switch (instruction.getKeyword()) {
      case 'COPY':
        this.steps.push({
          kind: 'copy',
          from: (instruction as Copy).getFromFlag()?.getValue() ?? null,
          sources: words.slice(0, -1),
          target: words.at(-1) ?? '',
          workdir: this.workdir,
        });
        break;
      case 'RUN':
        this.steps.push({
          kind: 'run',
          words,
          caches: cachesOf(instruction as JSONInstruction),
          workdir: this.workdir,
        });
        break;
      case 'ENV':
        for (const property of (instruction as Env).getProperties()) this.environment.set(...pair(property));
        break;
      case 'WORKDIR':
        this.workdir = first;
        break;
      case 'USER':
        this.user = first;
        break;
      case 'VOLUME':
        this.volumes.push(...words);
        break;
      case 'STOPSIGNAL':
        this.stopSignal = first;
        break;
      case 'CMD':
        this.command = strings(instruction as JSONInstruction);
        break;
      case 'HEALTHCHECK':
        this.healthcheck = jsonIn(instruction);
        break;
      case 'LABEL':
      case 'EXPOSE':
        break;
      default:
        throw new Error(`the tests do not know ${instruction.getKeyword()} in a Dockerfile`);
    }
  }
}

function pair(property: { getName(): string; getValue(): string | null } | null): [string, string] {
  return [property?.getName() ?? '', property?.getValue() ?? ''];
}

function strings(instruction: JSONInstruction): string[] {
  return instruction.getJSONStrings().map((argument) => JSON.parse(argument.getValue()) as string);
}

/** The command after `CMD`, which is behind flags. */
function jsonIn(instruction: Instruction): string[] {
  const [list] = /\[.*\]/s.exec(instruction.getRawArgumentsContent() ?? '') ?? [];
  if (list === undefined) throw new Error('the health check is not a list of words: it needs a shell');
  return JSON.parse(list) as string[];
}

function cachesOf(run: JSONInstruction): string[] {
  return run.getFlags().flatMap((flag) => {
    const targets = /^type=cache,target=([^,]+)/.exec(flag.getValue() ?? '');
    if (targets?.[1] === undefined) throw new Error(`the tests do not know ${flag.toString()} of a step`);
    return [targets[1]];
  });
}
