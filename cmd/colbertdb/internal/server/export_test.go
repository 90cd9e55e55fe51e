package server

import "time"

// Patterns are the routes, as "METHOD /path".
func (s *Server) Patterns() []string { return s.patterns }

// MemoryOfBodies is what bodies take now.
func (s *Server) MemoryOfBodies() int64 { return s.memory.used.Load() }

// EvictModels closes the models that nobody has used since a time.
func (s *Server) EvictModels(since time.Time) { s.models.evict(s.log, since) }
