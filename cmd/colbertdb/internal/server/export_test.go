package server

// Patterns are the routes, as "METHOD /path".
func (s *Server) Patterns() []string { return s.patterns }

// MemoryOfBodies is what bodies take now.
func (s *Server) MemoryOfBodies() int64 { return s.memory.used.Load() }
