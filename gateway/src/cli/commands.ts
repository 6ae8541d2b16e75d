/** What `polylora adapters` can be asked for: its commands, their arguments and options. */
import { type CommandSpec, type Invocation as Of, type OptionSpec, readInvocation } from './arguments.ts';

const GRANTEES: readonly OptionSpec[] = [
  { name: 'tenant', value: 'id', help: "a tenant; '*' is everybody" },
  { name: 'key', value: 'id', help: 'one API key, by its id' },
];
const VERSIONS =
  'A version is a release (v3), a tag (stable) or a digest, of which the first characters will do.';

const COMMANDS = {
  push: {
    positionals: ['dir'],
    options: [
      { name: 'name', value: 'name', help: 'what clients will call it, such as acme/support (required)' },
      { name: 'tag', value: 'tag', many: true, help: 'moves this tag to it, beside latest; may be repeated' },
      { name: 'note', value: 'text', help: 'what a reader of its history should know' },
      { name: 'parent', value: 'digest', help: 'the version that it was trained from' },
      { name: 'in-parts', value: null, help: 'resumes after a broken connection, as large ones always do' },
    ],
    help: 'sends a folder with adapter_config.json and adapter_model.safetensors',
    more:
      'It becomes the next release of its name, and its latest, at once. The same content as its newest\n' +
      'release changes only the tags. Nobody may use a new name until it is granted. Where a large one was broken off, the\n' +
      'same command again goes on with it.',
  },
  compress: {
    positionals: ['model'],
    options: [
      { name: 'base', value: 'model', help: 'the model that it was tuned from (required)' },
      { name: 'out', value: 'dir', help: 'where the adapter goes; not there yet (required)' },
      { name: 'size-target', value: 'times', help: 'how much smaller than float16, 1 to 8; 7 unless told' },
      { name: 'rank', value: 'rank', help: 'rank of the low-rank part, in place of a size' },
      {
        name: 'keep-base-embeddings',
        value: null,
        help: "goes on where embeddings, head or final norm differ, with the base's",
      },
      {
        name: 'keep-base-biases',
        value: null,
        help: 'the same for biases, and norms of queries and keys',
      },
    ],
    help: 'makes an adapter of a full fine-tune, on this machine',
    local: true,
    more:
      "A model is a folder of Hugging Face's, a .gguf file or an id (owner/name) on its hub. The fine-tune must have the\n" +
      'architecture and shapes of the base. What it changed in the seven projections of each layer is kept as a product of\n' +
      'low rank and a sparse matrix of two bits a weight, and what it changed in the norms before them exactly. Embeddings,\n' +
      'head, final norm, biases, and norms of queries and keys are not carried.',
  },
  pull: {
    positionals: ['name', 'dir'],
    options: [],
    help: 'fetches a version (acme/support@v2, or its latest) into a new folder',
    more: 'The folder can be pushed again as it is: its content has the same digest.',
  },
  import: {
    positionals: ['source'],
    options: [
      { name: 'name', value: 'name', help: 'what clients will call it, such as acme/support (required)' },
      { name: 'tag', value: 'tag', many: true, help: 'moves this tag to it, beside latest; may be repeated' },
      { name: 'note', value: 'text', help: 'what a reader of its history should know' },
      { name: 'detach', value: null, help: 'does not wait for it; imports says how far it is' },
    ],
    help: 'has the server fetch it from the Hugging Face hub or from S3',
    more:
      'A source is hf:owner/name, hf:owner/name@revision or s3://bucket/prefix. The revision is pinned to its commit.\n' +
      'Only adapter_config.json and adapter_model.safetensors are fetched. To stop waiting is not to stop the import:\n' +
      'cancel does that.',
  },
  imports: { positionals: [], options: [], help: 'lists imports, the newest first' },
  cancel: { positionals: ['import'], options: [], help: 'stops an import, by its id' },
  token: {
    positionals: [],
    options: [{ name: 'remove', value: null, help: 'has the server forget it' }],
    help: 'gives the server a token for the Hugging Face hub, read from standard input',
    more:
      'It is kept encrypted, and never shown again: polylora adapters token < token-file. What is private or gated on\n' +
      'the hub needs one.',
  },
  ls: { positionals: [], options: [], help: 'lists all adapters' },
  show: { positionals: ['name'], options: [], help: 'shows its tags, grants and releases' },
  diff: {
    positionals: ['name', 'version', 'version'],
    options: [],
    help: 'says in what two versions differ',
    more: VERSIONS,
  },
  tag: {
    positionals: ['name', 'tag', 'version'],
    options: [],
    help: 'moves a tag to a version, at once',
    more: 'A version is a release (v3), another tag, or sha256: and a digest.',
  },
  untag: { positionals: ['name', 'tag'], options: [], help: 'takes a tag away' },
  grant: { positionals: ['name'], options: GRANTEES, help: 'lets a tenant or a key use it' },
  revoke: { positionals: ['name'], options: GRANTEES, help: 'takes a grant back, at once' },
  pin: {
    positionals: ['name', 'version'],
    options: [],
    help: 'keeps a version that no tag stands for',
    more: VERSIONS,
  },
  unpin: {
    positionals: ['name', 'version'],
    options: [],
    help: 'lets it be collected again',
    more: VERSIONS,
  },
  rm: {
    positionals: ['name'],
    options: [{ name: 'yes', value: null, help: 'does not ask; needed where there is no terminal' }],
    help: 'removes it with its tags, releases and grants',
  },
} as const satisfies Record<string, CommandSpec>;

export type Invocation = Of<keyof typeof COMMANDS>;

/** Reads what follows `polylora adapters`. @throws UsageError */
export function readArguments(args: readonly string[]): Invocation | { readonly help: string } {
  const help = 'Manages the adapters of a running server.';
  return readInvocation({ name: 'adapters', help, commands: COMMANDS }, args);
}
