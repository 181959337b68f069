#pragma once

// The printable ASCII characters as strokes on a small grid, drawn for this project. text.hpp renders them.

#include <array>
#include <string_view>

namespace flowfar::program {

/// One character. The grid has the baseline at 0, small letters up to 7, capitals up to 10 and descenders down to -3.
struct Glyph {
    int width;  // of the strokes' center lines, in grid units
    /// Strokes separated by spaces. A point is two characters, x and y, each a digit, a, b, c for 10, 11, 12 or z, y, x
    /// for -1, -2, -3. An apostrophe after a point makes it a control point of a quadratic spline: the path passes
    /// through the middle between two neighboring control points and touches the polygon there. A star closes the
    /// path.
    std::string_view strokes;
};

/// Characters 32 to 126.
inline constexpr std::array<Glyph, 95> font = {{
    {1, ""},                                   // space
    {0, "0a03 00"},                            // !
    {2, "0a07 2a27"},                          // "
    {6, "2a10 5a40 0767 0363"},                // #
    {6, "686a'0a'05'65'60'00'02 3b3z"},        // $
    {8, "0a'06'36'3a'* 54'50'80'84'* 7a10"},   // %
    {7, "7017'1a'5a'57'03'00'50'74"},          // &
    {0, "0a07"},                               // '
    {2, "2b07'02'2y"},                         // (
    {2, "0b27'22'0y"},                         // )
    {4, "2a26 0947 0749"},                     // *
    {6, "3832 0565"},                          // +
    {1, "110y"},                               // ,
    {4, "0444"},                               // -
    {0, "00"},                                 // .
    {5, "5a00"},                               // /
    {5, "0a'00'50'5a'*"},                      // 0
    {5, "183a30"},                             // 1
    {5, "080a'5a'56'0050"},                    // 2
    {5, "080a'5a'55'25 2555'50'00'02"},        // 3
    {5, "4a0353 4a40"},                        // 4
    {5, "5a1a0516'56'50'00'02"},               // 5
    {5, "4a08'03 06'00'50'56'*"},              // 6
    {5, "0a5a20"},                             // 7
    {5, "0a'05'55'5a'* 05'00'50'55'*"},        // 8
    {5, "1052'57 0a'04'54'5a'*"},              // 9
    {0, "06 00"},                              // :
    {1, "16 110y"},                            // ;
    {5, "580450"},                             // <
    {5, "0656 0353"},                          // =
    {5, "085400"},                             // >
    {5, "080a'5a'56'25'23 20"},                // ?
    {9, "36'32'62'66'* 6662'92'9a'0a'0z'8z"},  // @
    {6, "003a60 1353"},                        // A
    {6, "000a2a5a'55'25 053565'60'3000"},      // B
    {6, "686a'0a'00'60'62"},                   // C
    {6, "000a2a6a'60'2000"},                   // D
    {5, "5a0a0050 0545"},                      // E
    {5, "5a0a00 0545"},                        // F
    {6, "686a'0a'00'60'6545"},                 // G
    {6, "0a00 6a60 0565"},                     // H
    {0, "0a00"},                               // I
    {4, "4a4340'00'03"},                       // J
    {6, "0a00 6a04 2660"},                     // K
    {5, "0a0050"},                             // L
    {8, "000a438a80"},                         // M
    {6, "000a606a"},                           // N
    {7, "0a'00'70'7a'*"},                      // O
    {6, "000a3a6a'64'3404"},                   // P
    {7, "0a'00'70'7a'* 437z"},                 // Q
    {6, "000a3a6a'64'3404 3460"},              // R
    {6, "686a'0a'05'65'60'00'02"},             // S
    {6, "0a6a 3a30"},                          // T
    {6, "0a0400'60'646a"},                     // U
    {6, "0a306a"},                             // V
    {8, "0a204a608a"},                         // W
    {6, "0a60 6a00"},                          // X
    {6, "0a356a 3530"},                        // Y
    {6, "0a6a0060"},                           // Z
    {2, "2b0b0y2y"},                           // [
    {5, "0a50"},                               // backslash
    {2, "0b2b2y0y"},                           // ]
    {4, "072a47"},                             // ^
    {6, "0y6y"},                               // _
    {2, "0a28"},                               // `
    {5, "0607'57'5450 5404'00'50'52"},         // a
    {5, "0a00 07'00'50'57'*"},                 // b
    {5, "5657'07'00'50'51"},                   // c
    {5, "5a50 07'00'50'57'*"},                 // d
    {5, "045457'07'00'50'51"},                 // e
    {3, "3a1a'1810 0737"},                     // f
    {5, "57505x'0x'0y 07'00'50'57'*"},         // g
    {5, "0a00 0407'57'5450"},                  // h
    {0, "0700 0a"},                            // i
    {2, "27202x'0x 2a"},                       // j
    {5, "0a00 5702 2450"},                     // k
    {1, "0a0200'10"},                          // l
    {8, "0700 0407'47'4440 4447'87'8480"},     // m
    {5, "0700 0407'57'5450"},                  // n
    {5, "07'00'50'57'*"},                      // o
    {5, "070x 07'00'50'57'*"},                 // p
    {5, "575x 07'00'50'57'*"},                 // q
    {3, "0700 0407'37"},                       // r
    {4, "4647'07'04'44'40'00'01"},             // s
    {3, "191210'30 0737"},                     // t
    {5, "070300'50'53 5750"},                  // u
    {4, "072047"},                             // v
    {8, "0720476087"},                         // w
    {5, "0750 5700"},                          // x
    {4, "0720 471x"},                          // y
    {5, "07570050"},                           // z
    {3, "3b1b'14'04 0414'1x'3x"},              // {
    {0, "0b0y"},                               // |
    {3, "0b2b'24'34 3424'2x'0x"},              // }
    {6, "0406'36'34'64'66"},                   // ~
}};

/// Stands for every other byte: an empty box.
inline constexpr Glyph unknown_glyph = {5, "000a5a5000"};

[[nodiscard]] constexpr const Glyph& glyph_of(char character) {
    return character >= ' ' && character <= '~' ? font[static_cast<std::size_t>(character - ' ')] : unknown_glyph;
}

}  // namespace flowfar::program
