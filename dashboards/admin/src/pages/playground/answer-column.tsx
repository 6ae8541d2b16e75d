import { Badge, type Tone } from '../../components/badge.tsx';
import { ErrorNote } from '../../components/states.tsx';
import { count, milliseconds, NONE } from '../../format/numbers.ts';
import { type Answer, isRunning } from './columns.ts';

interface AnswerColumnProps {
  readonly answer: Answer;
  readonly isBase: boolean;
  readonly onStop: () => void;
}

const STATES: Readonly<Record<Answer['state'], { readonly tone: Tone; readonly name: string }>> = {
  waiting: { tone: 'neutral', name: 'waiting' },
  streaming: { tone: 'accent', name: 'streaming' },
  done: { tone: 'good', name: 'done' },
  stopped: { tone: 'warn', name: 'stopped' },
  failed: { tone: 'bad', name: 'failed' },
};

/** One model's answer as it comes, with its times. */
export function AnswerColumn({ answer, isBase, onStop }: AnswerColumnProps) {
  const { model, state, progress, error } = answer;
  const { tone, name } = STATES[state];
  const rate = progress?.tokensPerSecond;
  return (
    <section class="panel answer" aria-label={`Answer of ${model}`} aria-busy={isRunning(answer)}>
      <div class="spread">
        <h2>
          {model} {isBase && <span class="muted small">base</span>}
        </h2>
        <Badge tone={tone}>{name}</Badge>
      </div>
      <dl class="answer-figures">
        <div>
          <dt>First token</dt>
          <dd>{milliseconds(progress?.firstTokenMs)}</dd>
        </div>
        <div>
          <dt>Tokens/s</dt>
          <dd>{rate == null ? NONE : rate.toFixed(1)}</dd>
        </div>
        <div>
          <dt>Tokens</dt>
          <dd>{count(progress?.tokens)}</dd>
        </div>
      </dl>
      <div class="answer-text">
        {progress?.text}
        {error !== null && <ErrorNote error={error} />}
      </div>
      <div class="spread answer-foot">
        <span class="small muted">
          {progress?.finishReason === 'length' && 'Cut at the most tokens. '}
          {progress?.cache?.startsWith('hit') === true && 'From the answer cache.'}
        </span>
        {isRunning(answer) && (
          <button type="button" class="button small" onClick={onStop}>
            Stop<span class="unseen"> {model}</span>
          </button>
        )}
      </div>
    </section>
  );
}
