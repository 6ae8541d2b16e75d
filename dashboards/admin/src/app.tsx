import { Announcer } from './components/announcer.tsx';
import { ErrorNote, Loading } from './components/states.tsx';
import { SessionProvider, useSessionState } from './hooks/session.tsx';
import { SignIn, SignInAgain } from './pages/sign-in/sign-in.tsx';
import { LocationProvider } from './router/location.tsx';
import { Shell } from './shell/shell.tsx';

/** Everything: nothing is shown before it is known who is there. */
export function App() {
  return (
    <LocationProvider>
      <Announcer>
        <SessionProvider>
          <Gate />
        </SessionProvider>
      </Announcer>
    </LocationProvider>
  );
}

function Gate() {
  const state = useSessionState();
  if (state.state === 'signed-in') {
    const { session, hasEnded, signIn, signOut } = state;
    return (
      <>
        {/* What one has on the page is not another's. */}
        <Shell key={`${session.role} ${session.tenant}`} session={session} signOut={signOut} />
        {hasEnded && <SignInAgain signIn={signIn} signOut={signOut} />}
      </>
    );
  }
  if (state.state === 'none') return <SignIn signIn={state.signIn} />;
  return (
    <main class="lonely">
      {state.state === 'failed' ? (
        <ErrorNote error={state.error} retry={state.retry} />
      ) : (
        <Loading rows={3} />
      )}
    </main>
  );
}
