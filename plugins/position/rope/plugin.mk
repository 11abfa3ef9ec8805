# Three ops that turn pairs of channels, by different rules for the speed.
pkglib_LTLIBRARIES += plugins/position_rope.la
plugins_position_rope_la_SOURCES = plugins/position/rope/rope.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_rope_la_LDFLAGS = $(plugin_ldflags)
plugins_position_rope_la_LIBADD = $(SLEEF_LIBS)
pkglib_LTLIBRARIES += plugins/position_rope_scaled.la
plugins_position_rope_scaled_la_SOURCES = plugins/position/rope/rope_scaled.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_rope_scaled_la_LDFLAGS = $(plugin_ldflags)
plugins_position_rope_scaled_la_LIBADD = $(SLEEF_LIBS)
pkglib_LTLIBRARIES += plugins/position_longrope.la
plugins_position_longrope_la_SOURCES = plugins/position/rope/longrope.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_longrope_la_LDFLAGS = $(plugin_ldflags)
plugins_position_longrope_la_LIBADD = $(SLEEF_LIBS)
