// Yosys packs registers and adders around a multiplier into DSP48E1 only, the block of the 7 series. DSP48E2 of
// UltraScale does all that DSP48E1 does (AMD UG579, "Differences from Previous Generations"), with other names:
// OPMODE has two bits more (0: nothing is added from the W multiplexer), D two, and what chose the
// pre-adder (USE_DPORT) is AMULTSEL.
module DSP48E1 (
    output [29:0] ACOUT, output [17:0] BCOUT, output CARRYCASCOUT, output [3:0] CARRYOUT,
    output MULTSIGNOUT, output OVERFLOW, output [47:0] P, output PATTERNBDETECT,
    output PATTERNDETECT, output [47:0] PCOUT, output UNDERFLOW,
    input [29:0] A, input [29:0] ACIN, input [3:0] ALUMODE, input [17:0] B, input [17:0] BCIN,
    input [47:0] C, input CARRYCASCIN, input CARRYIN, input [2:0] CARRYINSEL,
    input CEA1, input CEA2, input CEAD, input CEALUMODE, input CEB1, input CEB2, input CEC,
    input CECARRYIN, input CECTRL, input CED, input CEINMODE, input CEM, input CEP, input CLK,
    input [24:0] D, input [4:0] INMODE, input MULTSIGNIN, input [6:0] OPMODE, input [47:0] PCIN,
    input RSTA, input RSTALLCARRYIN, input RSTALUMODE, input RSTB, input RSTC, input RSTCTRL,
    input RSTD, input RSTINMODE, input RSTM, input RSTP
);
    parameter ACASCREG = 1;
    parameter ADREG = 1;
    parameter ALUMODEREG = 1;
    parameter AREG = 1;
    parameter A_INPUT = "DIRECT";
    parameter BCASCREG = 1;
    parameter BREG = 1;
    parameter B_INPUT = "DIRECT";
    parameter CARRYINREG = 1;
    parameter CARRYINSELREG = 1;
    parameter CREG = 1;
    parameter DREG = 1;
    parameter INMODEREG = 1;
    parameter MREG = 1;
    parameter OPMODEREG = 1;
    parameter PREG = 1;
    parameter USE_DPORT = "FALSE";
    parameter USE_MULT = "MULTIPLY";
    parameter USE_SIMD = "ONE48";
    parameter USE_PATTERN_DETECT = "NO_PATDET";

    // Pattern detection is not used by this project's designs.
    wire _TECHMAP_FAIL_ = USE_PATTERN_DETECT != "NO_PATDET";

    DSP48E2 #(
        .ACASCREG(ACASCREG), .ADREG(ADREG), .ALUMODEREG(ALUMODEREG), .AREG(AREG),
        .A_INPUT(A_INPUT), .BCASCREG(BCASCREG), .BREG(BREG), .B_INPUT(B_INPUT),
        .CARRYINREG(CARRYINREG), .CARRYINSELREG(CARRYINSELREG), .CREG(CREG), .DREG(DREG),
        .INMODEREG(INMODEREG), .MREG(MREG), .OPMODEREG(OPMODEREG), .PREG(PREG),
        .USE_MULT(USE_MULT), .USE_SIMD(USE_SIMD),
        .AMULTSEL(USE_DPORT == "TRUE" ? "AD" : "A"), .BMULTSEL("B")
    ) _TECHMAP_REPLACE_ (
        .ACOUT(ACOUT), .BCOUT(BCOUT), .CARRYCASCOUT(CARRYCASCOUT), .CARRYOUT(CARRYOUT),
        .MULTSIGNOUT(MULTSIGNOUT), .OVERFLOW(OVERFLOW), .P(P), .PATTERNBDETECT(PATTERNBDETECT),
        .PATTERNDETECT(PATTERNDETECT), .PCOUT(PCOUT), .UNDERFLOW(UNDERFLOW),
        .A(A), .ACIN(ACIN), .ALUMODE(ALUMODE), .B(B), .BCIN(BCIN), .C(C),
        .CARRYCASCIN(CARRYCASCIN), .CARRYIN(CARRYIN), .CARRYINSEL(CARRYINSEL),
        .CEA1(CEA1), .CEA2(CEA2), .CEAD(CEAD), .CEALUMODE(CEALUMODE), .CEB1(CEB1), .CEB2(CEB2),
        .CEC(CEC), .CECARRYIN(CECARRYIN), .CECTRL(CECTRL), .CED(CED), .CEINMODE(CEINMODE),
        .CEM(CEM), .CEP(CEP), .CLK(CLK), .D({{2{D[24]}}, D}), .INMODE(INMODE),
        .MULTSIGNIN(MULTSIGNIN), .OPMODE({2'b00, OPMODE}), .PCIN(PCIN),
        .RSTA(RSTA), .RSTALLCARRYIN(RSTALLCARRYIN), .RSTALUMODE(RSTALUMODE), .RSTB(RSTB),
        .RSTC(RSTC), .RSTCTRL(RSTCTRL), .RSTD(RSTD), .RSTINMODE(RSTINMODE), .RSTM(RSTM),
        .RSTP(RSTP)
    );
endmodule
