/** A question's words, made comparable: numbers in digits, one spelling, no endings, and what does not matter left out. */

/** Of a text that is longer the rest is left out: what is compared grows with the square. */
const MOST_WORDS = 256;
const MOST_CHARACTERS = 4096;

export type WordKind = 'content' | 'number' | 'quantity';

export interface Word {
  /** As it is compared. */
  readonly form: string;
  /** Lowercase, and nothing else done to it. */
  readonly plain: string;
  readonly kind: WordKind;
  /** What comes before it says what part it plays: `from Paris`; '' where nothing does. */
  readonly role: string;
  /** Written with a capital letter that the sentence's beginning does not ask for, or with what only names in programs have. */
  readonly isName: boolean;
  readonly isQuoted: boolean;
}

export interface Wording {
  readonly words: readonly Word[];
  /** Who, what, when…: sorted. */
  readonly asked: readonly string[];
  readonly negations: number;
  readonly letters: number;
}

const UNITS =
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(
    ' ',
  );
const TENS = '_ _ twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
const ORDINALS = 'zeroth first second third fourth fifth sixth seventh eighth ninth tenth'.split(' ');
const MULTIPLES: ReadonlyMap<string, number> = new Map([
  ['dozen', 12],
  ['hundred', 100],
  ['thousand', 1000],
  ['k', 1000],
  ['million', 1_000_000],
  ['billion', 1_000_000_000],
]);
const SMALL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ...UNITS.map((word, value): [string, number] => [word, value]),
  ...TENS.slice(2).map((word, index): [string, number] => [word, (index + 2) * 10]),
]);

/** Says nothing about what is asked. */
const IGNORED = new Set(
  (
    'a an the of to is are was were be been being am do does did doing done have has had having will would shall should could can may might must ' +
    'i me my mine we us our you your yours it its they them their this that these those there here he she his him ' +
    'please pls plz thanks thank thx hi hello hey kindly ok okay so just really actually exactly also too very well ' +
    'tell give show explain say let know want wanna need like looking look help wondering wonder curious ask question answer ' +
    'and or but if then than as at in on by with for from into onto about up out off over ' +
    'what which who whom whose when where why how many much often long ' +
    'quick quickly get got some any s t m re ve ll d go going'
  ).split(' '),
);

const NEGATIONS = new Set(
  'not no never without none nobody nothing neither nor cannot except excluding unless avoid'.split(' '),
);

/** Small words that narrow what is asked. */
const QUANTITIES = new Set(
  'only all every each both either most least more less fewer any some few'.split(' '),
);

/** What may stand before a word and give it its part. */
const ROLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    from: 'from',
    to: 'to',
    into: 'to',
    onto: 'to',
    '->': 'to',
    '=>': 'to',
    in: 'in',
    by: 'by',
    with: 'with',
    without: 'without',
    for: 'for',
    before: 'before',
    after: 'after',
    over: 'over',
    above: 'over',
    under: 'under',
    below: 'under',
    than: 'than',
    as: 'as',
    on: 'on',
    off: 'off',
    of: 'of',
    between: 'between',
    not: 'not',
    no: 'not',
    except: 'not',
    and: 'and',
    or: 'and',
    vs: 'and',
    versus: 'and',
    minus: 'minus',
    '-': 'minus',
    plus: 'plus',
    times: 'times',
    '/': 'over',
    divided: 'over',
  }),
);

const SYMBOLS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '%': 'percent',
    $: 'dollar',
    '€': 'euro',
    '£': 'pound',
    '¥': 'yen',
    '+': 'plus',
    '*': 'times',
    '×': 'times',
    '÷': 'divided',
    '√': 'sqrt',
    '=': 'equal',
    '<': 'less',
    '>': 'more',
    '°': 'degree',
    '^': 'power',
    '²': 'square',
    '³': 'cube',
    π: 'pi',
  }),
);

/** Two words or three that are one. */
const PHRASES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'sign in': 'login',
    'log in': 'login',
    'log on': 'login',
    'sign up': 'register',
    'sign out': 'logout',
    'log out': 'logout',
    'log off': 'logout',
    'check in': 'checkin',
    'check out': 'checkout',
    'how many': 'how_many',
    'how much': 'how_much',
    'how long': 'how_long',
    'how old': 'how_old',
    'how far': 'how_far',
    'how tall': 'how_tall',
    'how big': 'how_big',
    'how often': 'how_often',
    'how fast': 'how_fast',
    'how deep': 'how_deep',
    'how heavy': 'how_heavy',
    'how high': 'how_high',
    'how wide': 'how_wide',
    'what time': 'when',
    'which year': 'when',
    'what year': 'when',
    'what date': 'when',
    'how come': 'why',
    'what for': 'why',
    'right now': 'now',
    'at present': 'now',
    'set up': 'setup',
    'square root': 'sqrt',
    'look up': 'look_up',
    'find out': 'find',
    'instead of': 'not',
    'rather than': 'not',
    'united states': 'usa',
    'u s': 'usa',
    'united kingdom': 'uk',
    'u k': 'uk',
    'at least': 'at_least',
    'at most': 'at_most',
    'up to': 'at_most',
    'more than': 'over',
    'less than': 'under',
  }),
);

const ASKED = new Set(
  'who when where why how_many how_much how_long how_old how_far how_tall how_big how_often how_fast how_deep how_heavy how_high how_wide'.split(
    ' ',
  ),
);

const IRREGULAR: ReadonlyMap<string, string> = new Map(
  Object.entries({
    wrote: 'write',
    written: 'write',
    sent: 'send',
    bought: 'buy',
    sold: 'sell',
    paid: 'pay',
    made: 'make',
    found: 'find',
    lost: 'lose',
    won: 'win',
    born: 'bear',
    died: 'die',
    took: 'take',
    taken: 'take',
    gave: 'give',
    given: 'give',
    came: 'come',
    went: 'go',
    gone: 'go',
    broke: 'break',
    broken: 'break',
    spoke: 'speak',
    spoken: 'speak',
    began: 'begin',
    begun: 'begin',
    ran: 'run',
    left: 'left',
    kept: 'keep',
    built: 'build',
    meant: 'mean',
    said: 'say',
    told: 'tell',
    got: 'get',
    children: 'child',
    men: 'man',
    women: 'woman',
    people: 'person',
    feet: 'foot',
    teeth: 'tooth',
    mice: 'mouse',
    indices: 'index',
    cancelled: 'cancel',
    cancelling: 'cancel',
    metres: 'meter',
    metre: 'meter',
    litre: 'liter',
    litres: 'liter',
    centre: 'center',
    theatre: 'theater',
    grey: 'gray',
    cheque: 'check',
    tyre: 'tire',
    adress: 'address',
    recieve: 'receive',
    whats: 'what',
    wheres: 'where',
    hows: 'how',
    whos: 'who',
    im: 'i',
    ive: 'i',
    id: 'id',
    pics: 'photo',
    mins: 'minute',
    hrs: 'hour',
    secs: 'second',
    kms: 'kilometer',
    mph: 'mph',
    u: 'you',
    r: 'are',
    ur: 'your',
    abt: 'about',
    bc: 'because',
    b4: 'before',
    tmrw: 'tomorrow',
    tmr: 'tomorrow',
    tomorow: 'tomorrow',
    btw: 'between',
    mgmt: 'management',
    temp: 'temperature',
    approx: 'approximate',
    incl: 'including',
    excl: 'excluding',
    st: 'street',
    ave: 'avenue',
    rd: 'road',
    max: 'maximum',
    min: 'minimum',
    avg: 'average',
    info: 'information',
    pct: 'percent',
    kg: 'kilogram',
    km: 'kilometer',
    cm: 'centimeter',
    mm: 'millimeter',
    lbs: 'pound',
    lb: 'pound',
    ft: 'foot',
    gb: 'gigabyte',
    mb: 'megabyte',
    usd: 'dollar',
    eur: 'euro',
    gbp: 'pound',
    js: 'javascript',
    ts: 'typescript',
    py: 'python',
    dict: 'dictionary',
    func: 'function',
    int: 'integer',
    str: 'string',
    char: 'character',
    postgres: 'postgresql',
    db: 'database',
    repo: 'repository',
    dir: 'directory',
    config: 'configuration',
    env: 'environment',
    auth: 'authentication',
    app: 'app',
    apps: 'app',
    tv: 'tv',
    uni: 'university',
    exam: 'exam',
  }),
);

const CONTRACTIONS: readonly (readonly [RegExp, string])[] = [
  [/\bwon['’]?t\b/g, 'will not'],
  [/\bcan(?:['’]?t|not)\b/g, 'can not'],
  [/\b(do|does|did|is|are|was|were|has|have|had|could|would|should|must|need)n['’]?t\b/g, '$1 not'],
  [/['’](?:s|re|ve|ll|d|m)\b/g, ''],
];

const TOKEN =
  /[\p{L}\p{M}_][\p{L}\p{M}\p{N}_]*(?:[#+]+(?![\p{L}\p{N}]))?|\p{N}+(?:[.,:]\p{N}+)*|->|=>|[^\s\p{L}\p{M}\p{N}]/gu;

/** Reads a text. Never throws; what is beyond the limits is not looked at. */
export function readWording(text: string): Wording {
  const cut = text.slice(0, MOST_CHARACTERS).normalize('NFKC');
  let plain = cut.replace(/(\p{L})\p{M}+/gu, '$1').toLowerCase();
  for (const [pattern, by] of CONTRACTIONS) plain = plain.replace(pattern, by);
  const names = namesIn(cut);
  const quoted = quotedIn(plain);
  const tokens = joined((plain.match(TOKEN) ?? []).slice(0, MOST_WORDS));
  const words: Word[] = [];
  const asked = new Set<string>();
  let [negations, role, letters] = [0, '', 0];
  for (let index = 0; index < tokens.length; index++) {
    const token = SYMBOLS.get(tokens[index]!) ?? tokens[index]!;
    letters += token.length;
    if (NEGATIONS.has(token)) negations += 1;
    if (ASKED.has(token)) asked.add(token);
    const number = numberAt(tokens, index);
    const own = ROLES.get(token);
    if (own !== undefined && number === null) {
      role = own;
      if (IGNORED.has(token) || token.length < 3) continue;
    }
    if (number !== null) {
      words.push({ form: number.form, plain: token, kind: 'number', role, isName: false, isQuoted: false });
      index = number.last;
      role = '';
    } else if (QUANTITIES.has(token)) {
      words.push({ form: token, plain: token, kind: 'quantity', role, isName: false, isQuoted: false });
    } else if (
      /[\p{L}\p{N}_]/u.test(token) &&
      !IGNORED.has(token) &&
      !ASKED.has(token) &&
      !NEGATIONS.has(token)
    ) {
      const isName = names.has(token);
      words.push({
        form: canonical(token),
        plain: token,
        kind: 'content',
        role,
        isName,
        isQuoted: quoted.has(token),
      });
      role = '';
    }
  }
  return { words, asked: [...asked].sort(), negations, letters };
}

/** One spelling without endings. */
export function canonical(word: string): string {
  const irregular = IRREGULAR.get(word);
  if (irregular !== undefined) return irregular;
  if (word.length < 4 || /[\p{N}_]/u.test(word)) return word;
  let form = word;
  if (form.endsWith('ies') && form.length > 4) form = `${form.slice(0, -3)}y`;
  else if (/(?:ss|sh|ch|x|z)es$/.test(form)) form = form.slice(0, -2);
  else if (form.endsWith('s') && !/(?:ss|us|is)$/.test(form)) form = form.slice(0, -1);
  if (form.endsWith('ing') && form.length > 5) form = undoubled(form.slice(0, -3));
  else if (form.endsWith('ied') && form.length > 4) form = `${form.slice(0, -3)}y`;
  else if (form.endsWith('ed') && form.length > 4) form = undoubled(form.slice(0, -2));
  form = form
    .replace(/our(?=$|ite$|able$)/, form.length > 4 ? 'or' : 'our')
    .replace(/is(e|ation|er)$/, 'iz$1')
    .replace(/yse$/, 'yze')
    .replace(/ogue$/, 'og');
  return form.length > 3 && form.endsWith('e') ? form.slice(0, -1) : form;
}

function undoubled(stem: string): string {
  return /([bdgklmnprt])\1$/.test(stem) && !/ll$/.test(stem) ? stem.slice(0, -1) : stem;
}

function joined(tokens: readonly string[]): string[] {
  const all: string[] = [];
  for (let index = 0; index < tokens.length; index++) {
    const phrase = PHRASES.get(`${tokens[index]} ${tokens[index + 1]}`);
    if (phrase === undefined) all.push(tokens[index]!);
    else {
      all.push(phrase);
      index += 1;
    }
  }
  return all;
}

/** A number in digits or words that begins here, and the last token of it. */
function numberAt(
  tokens: readonly string[],
  begin: number,
): { readonly form: string; readonly last: number } | null {
  const first = tokens[begin]!;
  let value = SMALL_NUMBERS.get(first);
  let last = begin;
  if (value !== undefined && value >= 20) {
    const next = tokens[begin + 1] === '-' ? begin + 2 : begin + 1;
    const rest = SMALL_NUMBERS.get(tokens[next] ?? '');
    if (rest !== undefined && rest > 0 && rest < 10) {
      value += rest;
      last = next;
    }
  } else if (value === undefined) {
    const ordinal = ORDINALS.indexOf(first);
    // "a second" is a time far more often than not, but both are compared the same way.
    if (ordinal > 0) return { form: `${ordinal}`, last };
    if (first === 'twice' || first === 'double') return { form: '2', last };
    if (first === 'once') return { form: '1', last };
    if (!/^\p{N}/u.test(first)) return null;
    if (/^(?:st|nd|rd|th)$/.test(tokens[begin + 1] ?? '')) last = begin + 1;
    const digits = first.replace(/,(?=\p{N}{3}(?:\D|$))/gu, '');
    value = /^\d+(?:\.\d+)?$/.test(digits) ? Number(digits) : undefined;
    if (value === undefined) return { form: digits, last };
  }
  const multiple = MULTIPLES.get(tokens[last + 1] ?? '');
  if (multiple !== undefined) return { form: `${value * multiple}`, last: last + 1 };
  return { form: `${value}`, last };
}

/** Words with capitals inside a sentence, and what only programs' names have. */
function namesIn(text: string): Set<string> {
  const names = new Set<string>();
  // Somebody who shouts names nothing by it.
  if (text === text.toUpperCase()) return names;
  for (const [word] of text.matchAll(
    /(?<=[^\s.!?:"']\s+)\p{Lu}[\p{L}\p{N}]*|[\p{L}\p{N}]+(?:_[\p{L}\p{N}]+)+|\p{Ll}+\p{Lu}[\p{L}\p{N}]*/gu,
  )) {
    if (word !== 'I') names.add(word.toLowerCase());
  }
  return names;
}

function quotedIn(text: string): Set<string> {
  const quoted = new Set<string>();
  for (const [, inside] of text.matchAll(/["“”`«»]([^"“”`«»]{1,200})["“”`«»]/gu)) {
    for (const [word] of inside!.matchAll(TOKEN)) quoted.add(word);
  }
  return quoted;
}
