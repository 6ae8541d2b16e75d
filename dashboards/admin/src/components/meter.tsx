/** How much of something is used: a bar, with the numbers beside it. */
interface MeterProps {
  readonly label: string;
  readonly used: number;
  readonly most: number;
  readonly show: (value: number) => string;
}

const NEARLY = 0.8;

export function Meter({ label, used, most, show }: MeterProps) {
  const share = most === 0 ? 1 : Math.min(1, used / most);
  const tone = share >= 1 ? 'full' : share >= NEARLY ? 'nearly' : '';
  const text = `${show(used)} of ${show(most)}`;
  // Browsers draw <meter> in colours of their own.
  const meter = {
    role: 'meter',
    'aria-label': label,
    'aria-valuemin': 0,
    'aria-valuemax': 1,
    'aria-valuenow': share,
    'aria-valuetext': text,
  } as const;
  return (
    <div class="meter">
      <div class="meter-head">
        <span>{label}</span>
        <span>{text}</span>
      </div>
      <div class={`meter-bar ${tone}`} {...meter}>
        <span style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  );
}
