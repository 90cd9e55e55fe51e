package engine

// A read of the store runs between enter and exit, so that Close waits for the
// reads that are on their way and later ones get ErrClosed.

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
