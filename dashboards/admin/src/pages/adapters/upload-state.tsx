import type { UploadProgress } from '../../api/upload.ts';
import { bytes } from '../../format/numbers.ts';

interface UploadStateProps {
  readonly progress: UploadProgress;
  readonly onStop: () => void;
}

const STAGES = { reading: 'Reading the file', sending: 'Sending', checking: 'The server checks it' } as const;

/** How far an upload is. */
export function UploadState({ progress, onStop }: UploadStateProps) {
  const { stage, sentBytes, bytes: all } = progress;
  return (
    <div class="upload-state">
      <p role="status">{STAGES[stage]} …</p>
      <progress aria-label="Upload" max={all} {...(stage === 'sending' ? { value: sentBytes } : {})} />
      <p class="small muted">
        {bytes(sentBytes)} of {bytes(all)}
      </p>
      <button type="button" class="button small" onClick={onStop}>
        Stop
      </button>
    </div>
  );
}
