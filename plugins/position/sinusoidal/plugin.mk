pkglib_LTLIBRARIES += plugins/position_sinusoidal.la
plugins_position_sinusoidal_la_SOURCES = plugins/position/sinusoidal/sinusoidal.c \
  plugins/position/sinusoidal/sinusoidal_kernel.h
plugins_position_sinusoidal_la_LDFLAGS = $(plugin_ldflags)
plugins_position_sinusoidal_la_LIBADD = $(SLEEF_LIBS)
