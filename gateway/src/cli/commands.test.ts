import { describe, expect, it } from 'vitest';
import { type Invocation, readArguments } from './commands.ts';
import { UsageError } from './errors.ts';

function read(...args: string[]): Invocation {
  const result = readArguments(args);
  if ('help' in result) throw new Error('this asks for help');
  return result;
}

describe('readArguments', () => {
  it('reads a command with its options in any place', () => {
    const { command, positionals, text, texts, has } = read(
      ...[
        'push',
        '--name=acme/support',
        './out',
        '--tag',
        'stable',
        '--tag',
        'eu',
        '--note',
        'x y',
        '--json',
      ],
    );
    expect({ command, positionals }).toEqual({ command: 'push', positionals: ['./out'] });
    expect(text('name')).toBe('acme/support');
    expect(texts('tag')).toEqual(['stable', 'eu']);
    expect([text('note'), text('parent'), text('url')]).toEqual(['x y', undefined, undefined]);
    expect([has('json'), has('url')]).toEqual([true, false]);
    expect(read('ls').texts('tag')).toEqual([]);
    expect(read('rm', 'acme/support', '--yes').has('yes')).toBe(true);
    expect(read('diff', 'a', 'v1', 'v2').positionals).toEqual(['a', 'v1', 'v2']);
  });

  it.each([
    [[], 'A command is needed. Try: polylora adapters --help.'],
    [['frob'], "There is no command 'frob'"],
    [['toString'], "There is no command 'toString'"],
    [['--json', 'ls'], 'Options come after the command'],
    [['show'], 'Usage: polylora adapters show <name>\nTry: polylora adapters show --help.'],
    [['show', 'a', 'b'], 'Usage: polylora adapters show <name>'],
    [['show', ''], 'An argument is empty. Try: polylora adapters show --help.'],
    [['ls', '--what'], "Unknown option '--what'. Try: polylora adapters ls --help."],
    [['ls', '--url'], "Option '--url <value>' argument missing. Try: polylora adapters ls --help."],
    [['ls', '--yes'], "Unknown option '--yes'"],
    [['ls', '--json=1'], "Option '--json' does not take an argument"],
    [['push', 'x', '--tag', ''], 'An argument is empty'],
    [['ls', '--operator-key', 'secret'], 'set POLYLORA_OPERATOR_KEY'],
    [['ls', '--operator-key=secret'], 'set POLYLORA_OPERATOR_KEY'],
  ])('refuses %j with a hint', (args, problem) => {
    expect(() => readArguments(args)).toThrow(UsageError);
    expect(() => readArguments(args)).toThrow(problem);
    expect(() => readArguments(args)).not.toThrow(/secret/);
  });

  it('has help for every command', () => {
    const general = readArguments(['--help']);
    if (!('help' in general)) throw new Error('this is the help');
    const commands = [...general.help.matchAll(/^ {2}([a-z]+)(?= |\n)/gm)].map(([, name = '']) => name);
    const all = [
      'push',
      'compress',
      'pull',
      'import',
      'imports',
      'cancel',
      'token',
      'ls',
      'show',
      'diff',
      'tag',
      'untag',
      'grant',
      'revoke',
      'pin',
      'unpin',
      'rm',
    ];
    expect(commands.filter((name) => name !== 'polylora')).toEqual(all);
    for (const command of all) {
      const help = readArguments([command, '--help']);
      expect('help' in help && help.help).toContain(`polylora adapters ${command}`);
    }
    expect(Math.max(...general.help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110);
  });
});
