pkglib_LTLIBRARIES += plugins/position_longrope.la
plugins_position_longrope_la_SOURCES = plugins/position/longrope/longrope.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_longrope_la_LDFLAGS = $(plugin_ldflags)
plugins_position_longrope_la_LIBADD = $(SLEEF_LIBS)
