import { render } from 'preact';
import { App } from './app.tsx';
import { applyTheme } from './hooks/theme.ts';
import './theme.css';
import './layout.css';
import './components/components.css';

applyTheme();
render(<App />, document.getElementById('app')!);
