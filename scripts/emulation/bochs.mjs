import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { unpackDebian } from './debian-packages.mjs';
import { initramfs, memoryImages, startRom } from './linux-boot.mjs';

const MEMORY_MIB = 1024;
const LIMIT_MS = 30 * 60_000;
/** Bochs loads a memory image whole only within one block, and its blocks are 8 MiB at most. */
const BLOCK_BYTES = 8 * 2 ** 20;

/**
 * Bochs, an x86 interpreter that knows AVX-512 and AVX-VNNI (QEMU knows neither), with a Linux kernel to boot in it.
 * @param {string} cache
 */
export function installBochs(cache) {
  const root = unpackDebian(join(cache, 'bochs'), {
    release: 'trixie', // its Bochs is the first with a model that has AVX-VNNI
    packages: ['bochs', 'bochs-term', 'busybox-static', 'linux-image-cloud-amd64', 'ncurses-base'],
    only: { 'linux-image-6.': './boot/vmlinuz-*' }, // not the modules
  });
  const boot = join(root, 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
  return { root, kernel: join(boot, kernel ?? 'vmlinuz'), busybox: join(root, 'usr', 'bin', 'busybox') };
}

/**
 * Boots Linux on an emulated processor, runs static programs one after the other, and switches off.
 * @param {ReturnType<typeof installBochs>} bochs
 * @param {{ model: string, programs: readonly string[], args: readonly string[],
 *   env: Readonly<Record<string, string>> }} job `model` as Bochs calls it; `args` go to each program
 * @returns {Promise<{ ok: boolean, output: string }>} whether each program ended with status 0, and what they printed
 */
export async function runInBochs(bochs, { model, programs, args, env }) {
  const folder = mkdtempSync(join(tmpdir(), 'polylora-bochs-'));
  try {
    writeMachine(folder, bochs, { model, initrd: fileSystem(bochs, { programs, args, env }) });
    await start(bochs.root, folder);
    const output = readFileSync(join(folder, 'serial.txt'), 'utf8').replaceAll('\r', '');
    const statuses = [...output.matchAll(/^ended with status (\d+)$/gm)].map((match) => match[1]);
    if (statuses.length < programs.length) {
      const log = readFileSync(join(folder, 'bochs.log'), 'utf8').split('\n').slice(-20).join('\n');
      return {
        ok: false,
        output: `${output}\nBochs ended before the programs did; its log ends with\n${log}`,
      };
    }
    return { ok: statuses.every((status) => status === '0'), output };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * @param {ReturnType<typeof installBochs>} bochs
 * @param {{ programs: readonly string[], args: readonly string[], env: Readonly<Record<string, string>> }} job
 */
function fileSystem(bochs, { programs, args, env }) {
  const commands = programs.flatMap((program) => [
    `/programs/${basename(program)} ${args.map(quoted).join(' ')}`,
    'echo "ended with status $?"',
  ]);
  const script = [
    '#!/busybox sh',
    '/busybox mount -t proc proc /proc',
    'echo 1 > /proc/sys/vm/overcommit_memory', // a test reserves as much as this machine has
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
    ...commands,
    '/busybox stty -echo', // waits until the serial line has sent all
    '/busybox reboot -f',
    '',
  ].join('\n');
  const [folder, file, device] = [0o40755, 0o100755, 0o20600];
  return initramfs([
    { name: 'dev', mode: folder },
    { name: 'dev/console', mode: device, device: [5, 1] },
    { name: 'dev/null', mode: device, device: [1, 3] },
    { name: 'proc', mode: folder },
    { name: 'tmp', mode: folder },
    { name: 'busybox', mode: file, data: readFileSync(bochs.busybox) },
    { name: 'init', mode: file, data: Buffer.from(script) },
    { name: 'programs', mode: folder },
    ...programs.map((program) => ({
      name: `programs/${basename(program)}`,
      mode: file,
      data: readFileSync(program),
    })),
  ]);
}

/**
 * @param {string} folder
 * @param {ReturnType<typeof installBochs>} bochs
 * @param {{ model: string, initrd: Buffer }} machine
 */
function writeMachine(folder, bochs, { model, initrd }) {
  const images = memoryImages({
    kernel: readFileSync(bochs.kernel),
    initrd,
    // A machine without firmware has neither ACPI nor a PCI set-up; reboot=t is a triple fault, at which Bochs ends.
    commandLine: 'console=ttyS0,115200 loglevel=1 acpi=off pci=off nokaslr mitigations=off panic=-1 reboot=t',
    memoryBytes: MEMORY_MIB * 2 ** 20,
  });
  const rom = startRom();
  const blocks = inBlocks(images);
  const file = (/** @type {string} */ name, /** @type {Buffer} */ bytes) => {
    writeFileSync(join(folder, name), bytes);
    return `file=${name}`;
  };
  const lines = [
    'config_interface: textconfig',
    'display_library: term',
    `cpu: model=${model}, ips=20000000, reset_on_triple_fault=0`,
    `memory: guest=${MEMORY_MIB}, host=${MEMORY_MIB}, block_size=${BLOCK_BYTES / 1024}`,
    `romimage: ${file('rom.bin', rom.bytes)}, address=0x${rom.address.toString(16)}`,
    `vgaromimage: ${file('vga.bin', Buffer.alloc(512))}`,
    ...blocks.map(
      ({ address, bytes }, index) =>
        `optramimage${index + 1}: ${file(`memory${index}.bin`, bytes)}, address=0x${address.toString(16)}`,
    ),
    'com1: enabled=1, mode=file, dev=serial.txt',
    'clock: sync=none',
    'log: bochs.log',
    '',
  ];
  writeFileSync(join(folder, 'bochsrc'), lines.join('\n'));
  writeFileSync(join(folder, 'debugger'), 'c\n'); // Debian's Bochs stops in its debugger: continue
}

/**
 * The images as one piece for each block of memory that they touch; Bochs takes four.
 * @param {readonly { address: number, bytes: Buffer }[]} images
 */
function inBlocks(images) {
  /** @type {Map<number, Buffer>} */
  const blocks = new Map();
  for (const { address, bytes } of images) {
    for (let done = 0; done < bytes.length; ) {
      const index = Math.floor((address + done) / BLOCK_BYTES);
      const offset = (address + done) % BLOCK_BYTES;
      const block = blocks.get(index) ?? Buffer.alloc(BLOCK_BYTES);
      blocks.set(index, block);
      done += bytes.copy(block, offset, done);
    }
  }
  if (blocks.size > 4)
    throw new Error(`the kernel and the programs take ${blocks.size} blocks, and Bochs has 4`);
  return [...blocks].map(([index, bytes]) => ({ address: index * BLOCK_BYTES, bytes }));
}

/**
 * @param {string} root
 * @param {string} folder
 */
function start(root, folder) {
  const libraries = join(root, 'usr', 'lib', 'x86_64-linux-gnu');
  const plugins = join(libraries, 'bochs', 'plugins');
  const loader = join(root, 'usr', 'lib64', 'ld-linux-x86-64.so.2');
  const bochs = ['--library-path', `${libraries}:${plugins}`, join(root, 'usr', 'bin', 'bochs-bin')];
  const child = spawn(loader, [...bochs, '-q', '-f', 'bochsrc', '-rc', 'debugger'], {
    cwd: folder,
    env: {
      LTDL_LIBRARY_PATH: plugins,
      BXSHARE: join(root, 'usr', 'share', 'bochs'),
      TERM: 'vt100',
      TERMINFO: join(root, 'usr', 'share', 'terminfo'),
    },
    stdio: 'ignore',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve); // always with an error: the triple fault
  });
}

/** @param {string} word */
function quoted(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
