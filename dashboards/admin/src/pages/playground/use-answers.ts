import { useEffect, useRef, useState } from 'preact/hooks';
import { type ChatRequest, streamChat } from '../../api/chat-stream.ts';
import { asApiError } from '../../hooks/resource.ts';
import { type Answer, isRunning, waiting, withAnswer } from './columns.ts';

interface Answers {
  readonly answers: readonly Answer[];
  readonly isRunning: boolean;
  /** Asks all models at once; what ran before is stopped. */
  readonly ask: (models: readonly string[], request: Omit<ChatRequest, 'model'>) => Promise<void>;
  /** Stops one, or all. */
  readonly stop: (model?: string) => void;
}

/** @param onEnd is told each answer's end, in words */
export function useAnswers(onEnd: (message: string) => void): Answers {
  const [answers, setAnswers] = useState<readonly Answer[]>([]);
  const controllers = useRef(new Map<string, AbortController>());
  const stop = (model?: string) => {
    for (const [name, controller] of controllers.current) {
      if (model === undefined || name === model) controller.abort();
    }
  };
  useEffect(() => {
    const running = controllers.current;
    return () => {
      for (const controller of running.values()) controller.abort();
    };
  }, []);

  const askOne = async (model: string, request: Omit<ChatRequest, 'model'>) => {
    const controller = new AbortController();
    controllers.current.set(model, controller);
    // An answer that was stopped by a new question says nothing of that.
    const isCurrent = () => controllers.current.get(model) === controller;
    const change = (fields: Partial<Answer>) => {
      if (isCurrent()) setAnswers((old) => withAnswer(old, model, fields));
    };
    try {
      const progress = await streamChat(
        { ...request, model },
        (sofar) => change({ progress: sofar, state: 'streaming' }),
        controller.signal,
      );
      change({ progress, state: 'done' });
      if (isCurrent()) onEnd(`${model} has answered with ${progress.tokens} tokens.`);
    } catch (error) {
      if (controller.signal.aborted) change({ state: 'stopped' });
      else change({ state: 'failed', error: asApiError(error) });
      if (isCurrent()) onEnd(controller.signal.aborted ? `${model} is stopped.` : `${model} has failed.`);
    } finally {
      if (isCurrent()) controllers.current.delete(model);
    }
  };
  const ask = async (models: readonly string[], request: Omit<ChatRequest, 'model'>) => {
    stop();
    controllers.current.clear();
    setAnswers(models.map(waiting));
    await Promise.all(models.map((model) => askOne(model, request)));
  };
  return { answers, isRunning: answers.some(isRunning), ask, stop };
}
