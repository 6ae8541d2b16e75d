/**
 * The processors to test on, chosen so that each variant is the best one on at least one of them, and that each
 * feature test at run time is seen to say both yes and no. `variants` is what `Variant::available()` must give there.
 * @type {readonly Processor[]}
 */
export const PROCESSORS = [
  {
    name: 'Intel Ice Lake (AVX-512 VNNI)',
    emulator: 'bochs',
    model: 'corei7_icelake_u',
    variants: ['portable', 'avx2', 'avx512-vnni'],
  },
  {
    name: 'Intel Arrow Lake (AVX-VNNI)',
    emulator: 'bochs',
    model: 'arrow_lake',
    variants: ['portable', 'avx2', 'avx-vnni'],
  },
  {
    name: 'Arm with i8mm',
    emulator: 'qemu',
    model: 'max',
    variants: ['portable', 'neon-dotprod', 'neon-i8mm'],
  },
  {
    name: 'Arm Neoverse N1 (dotprod)',
    emulator: 'qemu',
    model: 'neoverse-n1',
    variants: ['portable', 'neon-dotprod'],
  },
  { name: 'Arm Cortex-A72 (neither)', emulator: 'qemu', model: 'cortex-a72', variants: ['portable'] },
];

/**
 * @typedef {{ name: string, emulator: 'bochs' | 'qemu', model: string, variants: readonly string[] }} Processor
 *   `model` is the emulator's name for it
 */
