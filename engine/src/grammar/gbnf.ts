import { EngineError } from '../types.ts';

/** Whether a grammar is written in GBNF, llama.cpp's and XGrammar's form of EBNF: Lark has no `::=`. */
export function isGbnf(grammar: string): boolean {
  return /^\s*[\w-]+\s*::=/m.test(grammar);
}

/** In the order in which they are looked for. Line breaks matter only outside of brackets, where they end a rule. */
const TOKEN =
  /\s+|#[^\n]*|([\w-]+)(?=\s*::=)|::=|([\w-]+)|("(?:[^"\\\n]|\\.)*")|(\[(?:[^\]\\]|\\.)*\])|(\{\s*\d*\s*,?\s*\d*\s*\})|([|()*+?.])/gy;

/**
 * A grammar in GBNF as one in Lark. Every character class and string is a terminal of its own, so that what a rule may be followed by
 * is looked at, as GBNF means it.
 *
 * @throws EngineError `invalid_grammar` with the line of what is not understood
 */
export function gbnfToLark(grammar: string): string {
  const names = new Map<string, string>([['root', 'start']]);
  const nameOf = (name: string) => {
    const known = names.get(name) ?? `r${names.size}_${name.toLowerCase().replace(/[^a-z0-9]/g, '_')}`;
    names.set(name, known);
    return known;
  };
  const rules: string[][] = [];
  const pattern = new RegExp(TOKEN);
  for (let at = 0; at < grammar.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(grammar);
    const rule = rules.at(-1);
    const [all, defined, name, string, characters, times, sign] = match ?? [];
    if (match === null || (rule === undefined && defined === undefined && /^[^\s#]/.test(match[0]))) {
      const line = grammar.slice(0, at).split('\n').length;
      const message = `Invalid grammar: line ${line} is no GBNF at '${grammar.slice(at, at + 20)}'.`;
      throw new EngineError('invalid_grammar', message);
    }
    if (defined !== undefined) rules.push([`${nameOf(defined)}:`]);
    else if (name !== undefined) rule?.push(nameOf(name));
    else if (string !== undefined) rule?.push(stringOf(string));
    else if (characters !== undefined) rule?.push(`/${characters.replaceAll('/', '\\/')}/`);
    else if (times !== undefined) rule?.push(times.replace(/\s/g, ''));
    else if (sign !== undefined) rule?.push(sign === '.' ? '/(?s:.)/' : (all ?? ''));
  }
  return rules.map((rule) => rule.join(' ').replace(/ (?=[*+?{])/g, '')).join('\n');
}

/** Lark's strings are JSON's: `\x41` is written out. An empty one is none of its terminals. */
function stringOf(text: string): string {
  const written = text.replace(/\\x([0-9a-fA-F]{2})/g, '\\u00$1').replace(/\\([^"\\/bfnrtu])/g, '$1');
  return written === '""' ? '()' : written;
}
