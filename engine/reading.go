package engine

// What reads Pebble runs between enter and exit, so that Close waits for the reads
// that are on their way and later ones get ErrClosed: every method that reads
// documents, the opening of a collection at rest, and each step of a reindex. Who
// holds Engine.bg or pub (holding) and the goroutines of the store need neither:
// Close waits for them too. No code of the caller that may take its time runs in
// between where it can be helped.

// enter begins a read.
func (e *Engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isClosed.Load() {
		return ErrClosed
	}
	e.reading.Add(1)
	return nil
}

// exit ends a read.
func (e *Engine) exit() { e.reading.Done() }

// read loads a document, unless the store has been closed meanwhile.
func (e *Engine) read(v *version, src source, ord int, vectors bool) (*Document, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	return v.load(src, ord, vectors)
}
