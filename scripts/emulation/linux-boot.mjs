/**
 * Memory images that start a Linux kernel without firmware or boot loader, by the 32-bit boot protocol
 * (Documentation/arch/x86/boot.rst and zero-page.rst in the kernel's source).
 */

/** Where things lie in the machine's memory, in bytes. */
const BOOT_PARAMS = 0x1_0000;
const COMMAND_LINE = 0x2_0000;
const KERNEL = 0x10_0000;
const INITRD = 0x1000_0000;
const ROM = 0xf_0000;
const ROM_BYTES = 0x1_0000;

/**
 * @param {{ kernel: Buffer, initrd: Buffer, commandLine: string, memoryBytes: number }} what `kernel` is a bzImage
 * @returns {{ address: number, bytes: Buffer }[]} what must lie in memory when the machine is switched on
 */
export function memoryImages({ kernel, initrd, commandLine, memoryBytes }) {
  const setupBytes = (kernel.readUInt8(0x1f1) + 1) * 512;
  const params = Buffer.alloc(4096);
  kernel.copy(params, 0x1f1, 0x1f1, 0x202 + kernel.readUInt8(0x201));
  params.writeUInt8(0xff, 0x210); // type_of_loader: none of the registered
  params.writeUInt8(params.readUInt8(0x211) | 1, 0x211); // loadflags: LOADED_HIGH
  params.writeUInt32LE(INITRD, 0x218);
  params.writeUInt32LE(initrd.length, 0x21c);
  params.writeUInt32LE(COMMAND_LINE, 0x228);
  writeMemoryMap(params, memoryBytes);
  return [
    { address: BOOT_PARAMS, bytes: params },
    { address: COMMAND_LINE, bytes: Buffer.from(`${commandLine}\0`, 'latin1') },
    { address: KERNEL, bytes: kernel.subarray(setupBytes) },
    { address: INITRD, bytes: initrd },
  ];
}

/**
 * The e820 table: usable memory below 636 KiB and above 1 MiB.
 * @param {Buffer} params
 * @param {number} memoryBytes
 */
function writeMemoryMap(params, memoryBytes) {
  const [usable, reserved] = [1, 2];
  const regions = [
    { start: 0, bytes: 0x9_f000, type: usable },
    { start: ROM, bytes: ROM_BYTES, type: reserved },
    { start: KERNEL, bytes: memoryBytes - KERNEL, type: usable },
  ];
  params.writeUInt8(regions.length, 0x1e8);
  regions.forEach(({ start, bytes, type }, index) => {
    const at = 0x2d0 + 20 * index;
    params.writeBigUInt64LE(BigInt(start), at);
    params.writeBigUInt64LE(BigInt(bytes), at + 8);
    params.writeUInt32LE(type, at + 16);
  });
}

/**
 * A system ROM in the BIOS's place, 64 KiB below 1 MiB: from the reset vector into protected mode with flat
 * segments, then into the kernel with the boot parameters' address in esi.
 */
export function startRom() {
  const rom = Buffer.alloc(ROM_BYTES, 0xf4); // hlt
  const [protectedMode, table, tableRegister] = [0x40, 0x100, 0x140];
  const [codeSegment, dataSegment] = [0x10, 0x18]; // as the boot protocol wants them
  put(rom, 0xfff0, [0xea, ...le16(0), ...le16(ROM >> 4)]); // jmp far: the reset vector
  put(rom, 0, [
    ...[0xfa], // cli
    ...[0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92], // in al, 0x92; or al, 2; out 0x92, al: address line 20
    ...[0x66, 0x2e, 0x0f, 0x01, 0x16, ...le16(tableRegister)], // lgdt cs:[tableRegister]
    ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // mov eax, cr0; or al, 1; mov cr0, eax
    ...[0x66, 0xea, ...le32(ROM + protectedMode), ...le16(codeSegment)], // jmp far
  ]);
  put(rom, protectedMode, [
    ...[0x66, 0xb8, ...le16(dataSegment)], // mov ax, dataSegment
    ...[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8], // mov ds, es, ss, fs, gs, ax
    ...[0xbc, ...le32(BOOT_PARAMS)], // mov esp: the free memory below
    ...[0xbe, ...le32(BOOT_PARAMS)], // mov esi
    ...[0x31, 0xed, 0x31, 0xff, 0x31, 0xdb], // xor ebp, ebp; xor edi, edi; xor ebx, ebx
    ...[0xb8, ...le32(KERNEL), 0xff, 0xe0], // mov eax; jmp eax
  ]);
  rom.fill(0, table, table + 32);
  rom.writeBigUInt64LE(0x00cf_9b00_0000_ffffn, table + codeSegment);
  rom.writeBigUInt64LE(0x00cf_9300_0000_ffffn, table + dataSegment);
  put(rom, tableRegister, [...le16(31), ...le32(ROM + table)]);
  return { address: 0xffff_0000, bytes: rom };
}

/**
 * An initial file system in cpio's "newc" format.
 * @param {readonly { name: string, mode: number, data?: Buffer, device?: readonly [number, number] }[]} files
 *   with the folders before what they hold; `mode` as in stat(2)
 */
export function initramfs(files) {
  const entries = [...files, { name: 'TRAILER!!!', mode: 0 }];
  const parts = entries.flatMap(({ name, mode, data = Buffer.alloc(0), device = [0, 0] }, index) => {
    const fields = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length + 1, 0];
    const head = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    return [padded(Buffer.from(`070701${head}${name}\0`, 'latin1')), padded(data)];
  });
  return Buffer.concat(parts);
}

/** @param {Buffer} bytes */
function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

/**
 * @param {Buffer} rom
 * @param {number} at
 * @param {readonly number[]} code
 */
function put(rom, at, code) {
  Buffer.from(code).copy(rom, at);
}

/** @param {number} value */
function le16(value) {
  return [value & 0xff, value >> 8];
}

/** @param {number} value */
function le32(value) {
  return [...le16(value & 0xffff), ...le16(value >>> 16)];
}
