import { useId, useState } from 'preact/hooks';
import { droppedFiles } from './dropped-files.ts';

interface DropZoneProps {
  readonly onFiles: (files: readonly File[]) => void;
  readonly isDisabled: boolean;
}

/** A place to drop files on, which is a field for files as well: the keyboard opens it like any other. */
export function DropZone({ onFiles, isDisabled }: DropZoneProps) {
  const id = useId();
  const [isOver, setIsOver] = useState(false);
  const onDragOver = (event: DragEvent) => {
    event.preventDefault();
    setIsOver(true);
  };
  const onDrop = async (event: DragEvent) => {
    event.preventDefault();
    setIsOver(false);
    if (event.dataTransfer !== null && !isDisabled) onFiles(await droppedFiles(event.dataTransfer));
  };
  return (
    <label
      for={id}
      class={isOver ? 'drop-zone over' : 'drop-zone'}
      onDragOver={onDragOver}
      onDragLeave={() => setIsOver(false)}
      onDrop={(event) => void onDrop(event)}
    >
      <strong>Drop the adapter’s folder or its files here, or choose them</strong>
      <span class="muted">adapter_config.json and adapter_model.safetensors, as PEFT writes them</span>
      <input
        id={id}
        type="file"
        multiple
        disabled={isDisabled}
        accept=".json,.safetensors"
        onChange={({ currentTarget }) => {
          onFiles(Array.from(currentTarget.files ?? []));
          // The same file can be chosen again after it was changed.
          currentTarget.value = '';
        }}
      />
    </label>
  );
}
