import { useState } from 'preact/hooks';
import { useAnnounce } from './announcer.tsx';

interface CopyButtonProps {
  readonly text: string;
  /** What is copied: 'the key'. */
  readonly what: string;
}

/** Copies a text. Browsers allow that on https and localhost only; elsewhere the text has to be selected. */
export function CopyButton({ text, what }: CopyButtonProps) {
  const announce = useAnnounce();
  const [isCopied, setIsCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setIsCopied(true);
      announce(`Copied ${what}.`);
    } catch {
      announce(`This browser does not let the page copy ${what}: select it and copy it by hand.`);
    }
  };
  return (
    <button type="button" class="button" onClick={() => void copy()}>
      {isCopied ? 'Copied' : 'Copy'}
      <span class="unseen"> {what}</span>
    </button>
  );
}
